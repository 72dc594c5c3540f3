"""Which neglected term is to blame? Second-order damage against measured damage, term by term.

Question. A second-order estimate of every linear's damage from one backward pass beats every grid
on SmolLM2 and loses to uniform on Gemma. What does it leave out, and how much of it?

Derivation. D = KL(dense || sparse) = 1/2 sum_lm <d_l, P_l^T H P_m d_m> + higher orders (theory.md,
section 1). Four things stand between that and a sum of single damages from a backward pass:
(1) *labels*: the estimate draws labels from the model, once; (2) *order*: it is right for small d
only, and is compared here, linear by linear, with the KL of that linear pruned alone; (3) *cross
terms* l != m: all blocks pruned together against the sum of blocks pruned alone, and the cosines of
the errors that arrive; (4) *size*: the gain of a block's error at its real size against the same
error made small. Each is measured at several rates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, save, verdict
from depth_model import TINY, measured
from scipy.stats import spearmanr

import neurosparse as ns
from neurosparse.measure import GainsCollector, SecondOrderCollector, SingleCollector
from neurosparse.report import paper, theme

NAME = "depth_terms"
FULL = {"model": "smollm2", "rates": [0.2, 0.4, 0.6], "windows": 2, "labels": 8,
        "calibration": 32, "selection": 1, "report": 1}
QUICK = {"model": TINY, "rates": [0.1, 0.6], "labels": 2, "calibration": 4}


def terms(scene: Any, rate: float, windows: int, labels: int) -> dict[str, Any]:
    """All evidence at one rate."""
    found = ns.measure.profile(scene.model, scene.calibration, evidence=[
        SingleCollector(rate, windows=windows), SecondOrderCollector(rate, windows=labels),
        GainsCollector(rate, windows=windows)]).evidence
    single, second, gains = found["single"], found["second-order"], found["gains"]
    blocks = np.array([target.block for target in scene.targets])
    off = ~np.eye(len(gains["error"]), dtype=bool)

    def ranks(predicted: Any, by_block: bool = False) -> float:
        first, other = single["nats"], predicted
        if by_block:
            first, other = np.bincount(blocks, first), np.bincount(blocks, other)
        return float(spearmanr(first, other)[0])

    share = np.log(np.maximum(second["token"], 1e-12) / np.maximum(single["nats"], 1e-12))
    quarter = max(1, len(off) // 4)
    return {
        "spread": float(share.std()),
        "first": float(np.exp(share[blocks < quarter].mean())),
        "last": float(np.exp(share[blocks >= len(off) - quarter].mean())),
        "single": single["nats"], "token": second["token"], "sequence": second["sequence"],
        "rank token": ranks(second["token"]), "rank sequence": ranks(second["sequence"]),
        "rank token, blocks": ranks(second["token"], True),
        "order": float(second["sequence"].sum() / single["nats"].sum()),
        "cross": float(gains["together"] / gains["alone"]),
        "cosine": float(gains["cross"][off].mean()),
        "linears": float(gains["alone"] / single["nats"].sum()),
        "size": float(np.exp(np.nanmean(np.log(gains["gain"][:, -1] / gains["gain"][:, 0])))),
        "amplification": gains["amplification"], "together": float(gains["together"]),
    }


def draw(out: Any, s: dict[str, Any], table: list[dict[str, Any]]) -> None:
    """Predicted against measured; the ratios over the rate; who amplifies."""
    with figure(out, NAME, 7.2) as page:
        top, middle, low = page.subplots(3, 1)
        for number, (rate, row) in enumerate(zip(s["rates"], table, strict=True)):
            colour, marker = theme.series(number)
            top.loglog(np.maximum(row["single"], 1e-9), np.maximum(row["token"], 1e-9), marker,
                       color=colour, ms=2.2, mew=0, label=f"rate {rate:g}")
            low.plot(row["amplification"][:, -1], color=colour, marker=marker, ms=2.5, lw=1,
                     label=f"real size, {rate:g}")
        low.plot(table[0]["amplification"][:, 0], color=theme.light("soft"), lw=1, ls="--",
                 label="infinitesimal")
        low.axhline(0, color=theme.light("soft"), lw=0.6)
        low.xaxis.get_major_locator().set_params(integer=True)
        ends = np.array(top.get_xlim())
        top.loglog(ends, ends, color=theme.light("soft"), lw=0.8)
        for number, (key, label) in enumerate((("order", "second order / single"),
                                               ("linears", "blocks alone / linears alone"),
                                               ("cross", "together / blocks alone"),
                                               ("size", "gain at real size / small"))):
            colour, marker = theme.series(number)
            middle.plot(s["rates"], [row[key] for row in table], color=colour, marker=marker,
                            ms=3.5, lw=1, label=label)
        middle.axhline(1, color=theme.light("soft"), lw=0.8)
        for panel, x, y in ((top, "measured KL of one linear", "second order"),
                            (middle, "rate", "ratio"), (low, "block", "log growth of the error")):
            panel.set_xlabel(x)
            panel.set_ylabel(y)
            panel.legend(frameon=False, fontsize=6)
            theme.tidy(panel)
        paper.letters([top, middle, low], [str(s["model"]), "what is left out", "who amplifies"])


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "40 minutes", FULL, QUICK)
    scene = measured(s)
    table = []
    for rate in s["rates"]:
        row = terms(scene, float(rate), int(s["windows"]), int(s["labels"]))
        table.append(row)
        print(f"rate {rate:g}: " + ", ".join(
            f"{key} {value:.3f}" for key, value in row.items() if isinstance(value, float)),
            flush=True)
    keys = [key for key, value in table[0].items() if key != "together"]
    save(out, NAME, s, {"rates": s["rates"], **{key: np.array([row[key] for row in table])
                                                for key in keys}})
    draw(out, s, table)
    last = table[-1]
    print(f"second order (tokens) over measured, at {s['rates'][-1]:g}: {last['first']:.2f} in "
          f"the first quarter of the blocks, {last['last']:.2f} in the last; from linear to linear "
          f"its logarithm varies by {last['spread']:.2f}")
    blame = {"order": abs(np.log(last["order"])), "cross terms": abs(np.log(last["cross"])),
             "size": abs(np.log(last["size"])), "linears of a block": abs(np.log(last["linears"]))}
    worst = max(blame, key=lambda name: blame[name])
    verdict(f"at rate {s['rates'][-1]:g} on {s['model']} the largest factor left out is {worst} "
            f"({np.exp(blame[worst]):.2f}x); rank correlation of the estimate, linear by linear, "
            f"{table[0]['rank token']:.2f} at {s['rates'][0]:g} and {last['rank token']:.2f} at "
            f"{s['rates'][-1]:g}")


if __name__ == "__main__":
    main()
