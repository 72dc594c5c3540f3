"""Draw what bench_work_precision.py measured: total error of the exponents against seconds of work.

    python benchmarks/figure_work_precision.py FILE.json FIGURE.png

The error of a run of length T is sqrt(bias² + sampling² / T); a curve bends where bias takes over.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neurosparse.report import paper

SHOWN = {
    "ours exponential-ab3 0.2 float32": ("0", "-"),
    "ours exponential-ab4 0.125 float32": ("2", "-"),
    "ours rk4 0.5 float32": ("3", "-"), "ours rk4 0.1 float64": ("4", "-"),
    "peer rk4 0.5 float64": ("1", "-"), "peer rk4 0.25 float64": ("1", "--"),
    "peer rk4 0.1 float64": ("1", ":"),
}  # fmt: skip


def main() -> None:
    data = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in data["rows"]}
    work = np.geomspace(0.5, 1000, 200)
    with paper.settings():
        figure = Figure(figsize=(paper.COLUMN * 1.4, 3.8), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.add_subplot()
        for name, (color, line) in SHOWN.items():
            row = rows[name]
            error = np.sqrt(row["bias"] ** 2 + data["sampling"] ** 2 * row["seconds"] / work)
            panel.loglog(work, error, line, color=f"C{color}", label=name)
        panel.set(xlabel="seconds", ylabel="error of an exponent, bias and sampling")
        for axis in (panel.xaxis, panel.yaxis):  # the theme draws no mathematical text
            axis.set_major_formatter("{x:g}")
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=6.5)
        figure.savefig(sys.argv[2], dpi=150)


if __name__ == "__main__":
    main()
