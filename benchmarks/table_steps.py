"""ATP's predicted step against a smooth curve through its grid: how much of a miss is chance?

Run: python benchmarks/table_steps.py      (from docs/measured/table_budgets; measures nothing)

The best of nine measured steps is the best of nine draws as well: a budget that moves a little
moves single masks, and the perplexity with them. A cubic through the log perplexities of uniform
rates and the nine steps (16 report windows, table_budgets.py) says how large that jitter is, where
the least lies without it, and what the predicted step costs on the curve. Nats a token.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from table_budgets import MODELS, SPARSITIES, rows_in

WINDOWS = 16


def log_perplexity(row: dict[str, Any]) -> float:
    """Of the windows that the grid was measured on."""
    return float(np.mean(row["nll"][:WINDOWS]))


def curve(table: dict[str, Any], name: str, sparsity: float) -> dict[str, float] | None:
    """The cubic of one model and sparsity; None where the grid is not there."""
    grid = table.get(f"{name}|grid|{sparsity}")
    if not grid:
        return None
    steps = np.array([0.0, *map(float, grid)])
    values = np.array([log_perplexity(table[f"{name}|uniform|{sparsity}|0"]),
                       *np.log(list(grid.values()))])
    smooth = Polynomial.fit(steps, values, 3)
    left = values - smooth(steps)
    fine = np.linspace(steps[0], steps[-1], 1801)
    best = float(fine[np.argmin(smooth(fine))])
    found = {"jitter": float(np.sqrt(left @ left / (len(steps) - 4))), "best": best,
             "luck": float(left[np.argmin(values)])}
    predicted = table.get(f"{name}|arithmetic predicted|{sparsity}|0")
    if predicted:
        step = float(predicted["notes"]["predicted_step"])
        found |= {"predicted": step, "cost": float(smooth(step) - smooth(best)),
                  "off": log_perplexity(predicted) - float(smooth(step))}
    return found


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="docs/measured/table_budgets")
    table = rows_in(parser.parse_args().table)
    for name in MODELS:
        for sparsity in SPARSITIES:
            found = curve(table, name, sparsity)
            if not found:
                continue
            said = (f"{name} {sparsity:.0%}: least of the curve at {found['best']:.4f}, jitter "
                    f"{found['jitter']:.4f}, the grid's best off the curve by {found['luck']:+.4f}")
            if "predicted" in found:
                said += (f"; predicted {found['predicted']:.4f} costs {found['cost']:.4f} on the "
                         f"curve, measured off it by {found['off']:+.4f}")
            print(said)


if __name__ == "__main__":
    main()
