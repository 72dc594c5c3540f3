"""What ``neurosparse spectrum`` says at the end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosparse.cli.show import print_facts, print_table, with_error

if TYPE_CHECKING:
    from neurosparse.lyapunov import EnsembleSpectrum, Spectrum

_SHOWN = 10


def summary(found: list[Spectrum], whole: Spectrum | EnsembleSpectrum) -> dict[str, Any]:
    """Results for the record and for JSON."""
    statuses = [one.status.value for one in found]
    first = found[0]
    results: dict[str, Any] = {
        "status": next((s for s in statuses if s not in ("finished", "converged")), statuses[-1]),
        "statuses": statuses, "size": first.size, "k": first.k,
        "duration": [one.duration for one in found], "transient": first.transient,
        "step": first.unit, "interval": [one.interval for one in found],
        "exponents": np.asarray(whole.exponents), "stderr": np.asarray(whole.stderr),
        "sum_rule_residual": _worst([one.sum_rule_residual for one in found]),
        "peak_stderr": float(np.max(whole.stderr)),
    }
    if len(found) == 1:
        results |= {"kaplan_yorke": first.kaplan_yorke, "entropy_rate": first.entropy_rate,
                    "kaplan_yorke_stderr": first.kaplan_yorke_stderr,
                    "entropy_rate_stderr": first.entropy_rate_stderr,
                    "effective_samples": first.effective_samples}
        return results
    names = ("kaplan_yorke", "entropy_rate")
    for name in names:
        results[name], results[f"{name}_stderr"] = getattr(whole, name)
    return results | {"stderr_time": getattr(whole, "stderr_time"),  # noqa: B009
                      "stderr_draws": getattr(whole, "stderr_draws")}  # noqa: B009


def _worst(residuals: list[float | None]) -> float | None:
    known = [value for value in residuals if value is not None]
    return max(known) if known else None


def print_spectrum(results: dict[str, Any], title: str) -> None:
    """The leading exponents and the last, then what follows from all of them."""
    exponents, stderr = results["exponents"], results["stderr"]
    last = results["k"]
    rows = [i for i in range(last) if i < _SHOWN or i == last - 1]
    heads = ["i", "exponent", "error"]
    if "stderr_draws" in results:
        heads += ["over time", "over draws"]
    table = []
    for i in rows:
        cells = [str(i + 1), f"{exponents[i]:.{_digits(stderr[i])}f}", _short(stderr[i])]
        if "stderr_draws" in results:
            cells += [_short(results["stderr_time"][i]), _short(results["stderr_draws"][i])]
        table.append(cells)
    print_table(title, heads, table)
    dimension = results["kaplan_yorke"]
    facts = [
        ("Kaplan-Yorke dimension", with_error(dimension, results["kaplan_yorke_stderr"])
         if np.isfinite(dimension) else f"not reached by {last} exponents"),
        ("entropy rate", with_error(results["entropy_rate"], results["entropy_rate_stderr"])
         + (f" of these {last}; more may be positive" if last < results["size"]
            and exponents[-1] > 0 else "")),
        ("sum-rule residual", "not known" if results["sum_rule_residual"] is None
         else f"{results['sum_rule_residual']:.1e}"),
        ("time measured", ", ".join(sorted({f"{value:g}" for value in results["duration"]}))
         + f", step {results['step']:g}"),
        ("status", _status(results["statuses"])),
    ]
    files = results["files"]
    shown = files["spectrum"]
    facts.append(("files", shown[0] + (f" .. {shown[-1]}" if len(shown) > 1 else "")))
    if files.get("figure"):
        facts.append(("", files["figure"]))
    print_facts(facts)


def _digits(error: float) -> int:
    return min(10, max(2, 2 - math.floor(math.log10(error)))) if error > 0 else 6


def _short(error: float) -> str:
    return f"{error:.1e}" if np.isfinite(error) else "-"


def _status(statuses: list[str]) -> str:
    if len(set(statuses)) == 1:
        return statuses[0]
    return ", ".join(f"{statuses.count(name)} {name}" for name in sorted(set(statuses)))
