"""Regret of every proposer against evaluations, on a fitness whose optimum is known; 20 seeds.

    python benchmarks/figure_search.py [--out FILE.json] [--figure FIGURE.png] [--draw]

``sum_i w_i exp(9 p_i)`` over 24 rates of mean 0.3, ``ln w`` normal with standard deviation 1, a new
one for each seed (neurosparse/search/synthetic.py). Everyone begins at even rates. ``llm, knows``
is the dialogue with answers near the optimum, ``llm, nonsense`` with answers that hold no JSON:
the fallback of mutations alone. Lines are geometric means over seeds, bands their standard errors.
``--draw`` draws what was measured before.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neurosparse.files import write_json
from neurosparse.report import paper
from neurosparse.search import Patient, Synthetic, make_proposer, rate_space, regret, search

SPACE = rate_space([100 + 7 * i for i in range(24)], 0.3)
ROWS = ["line", "random", "llm, nonsense", "tpe", "evolution", "cma", "llm, knows"]


def answers(optimum: np.ndarray, seed: int) -> Callable[[str], str]:
    """Valid JSON close to the optimum, never the same twice."""
    rng = np.random.default_rng(seed)

    def complete(prompt: str) -> str:
        if '{"parents": [...]}' in prompt:
            return json.dumps({"parents": [0, 1, 2, 3]})
        count = int(re.findall(r"with (\d+) lists? of", prompt)[-1])
        near = optimum + rng.normal(0, 0.02, (count, len(optimum)))
        return json.dumps({"configurations": (100 * np.clip(near, 0, 1)).round(1).tolist()})

    return complete


def one(row: str, seed: int, evaluations: int) -> list[float]:
    """Regret after each evaluation; a proposer that ended keeps its last."""
    fitness = Synthetic.random(SPACE, seed=seed)
    options: dict[str, Any] = {"seed": seed}
    if row.startswith("llm"):
        said = answers(fitness.optimum, seed) if row.endswith("knows") else lambda _: "No."
        options |= {"complete": Patient(said, backoff=0), "retries": 0, "numbers": None}
    proposer = make_proposer(row.split(",")[0], SPACE, **options)
    values = search(SPACE, fitness, proposer, evaluations, takes="values").values()
    lacking = evaluations - len(values)
    found = regret(np.concatenate([values, np.full(lacking, np.inf)]))
    return [float(f"{value:.5g}") for value in found]


def draw(data: dict[str, Any], path: str) -> None:
    """The figure."""
    with paper.settings():
        figure = Figure(figsize=(paper.COLUMN * 1.3, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.add_subplot()
        for row in ROWS:
            logs = np.log(np.array(data["regret"][row]))
            mean, error = logs.mean(0), logs.std(0, ddof=1) / np.sqrt(len(logs))
            at = np.arange(1, logs.shape[1] + 1)
            line, = panel.plot(at, np.exp(mean), label=row)
            panel.fill_between(at, np.exp(mean - error), np.exp(mean + error), alpha=0.2,
                               color=line.get_color(), linewidth=0)
        panel.set(xscale="log", yscale="log", xlabel="evaluations",
                  ylabel="best so far over the optimum, less 1", xlim=(1, logs.shape[1]))
        for axis in (panel.xaxis, panel.yaxis):  # the theme draws no mathematical text
            axis.set_major_formatter("{x:g}")
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=6.5)
        figure.savefig(path, dpi=150)


def main() -> None:
    """Measure what is not there, draw."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="docs/measured/search_synthetic.json")
    parser.add_argument("--figure", default="docs/measured/search_synthetic.png")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    path = Path(arguments.out)
    data: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"regret": {}}
    for row in [] if arguments.draw else ROWS:
        if row not in data["regret"]:
            data["regret"][row] = [one(row, seed, arguments.evaluations)
                                   for seed in range(arguments.seeds)]
            write_json(path, data)
            last = np.array(data["regret"][row])[:, -1]
            print(f"{row:<14} {np.exp(np.log(last).mean()):.4f}", flush=True)
    draw(data, arguments.figure)


if __name__ == "__main__":
    main()
