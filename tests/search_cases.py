"""What the tests of the search share, importable from worker processes too."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

import numpy as np

from neurosparse.search import (
    LineProposer,
    LlmProposer,
    Patient,
    Proposer,
    RandomProposer,
    Space,
    Synthetic,
    make_proposer,
    rate_space,
    search,
)

SIZES = [100 + 7 * i for i in range(12)]


def space(sparsity: float = 0.3, **more: Any) -> Space:
    return rate_space(SIZES, sparsity, **more)


def fitness() -> Synthetic:
    return Synthetic.random(space(), seed=1)


def plain(values: np.ndarray) -> float:
    """A fitness that any process can import."""
    return fitness()(values)


def slow(values: np.ndarray) -> float:
    time.sleep(0.01)
    return plain(values)


class Ideal:
    """A completion that knows the optimum: the ceiling of what a language model could do.

    It answers any of our prompts in the asked form, nearer to the optimum with every answer.
    """

    model, temperature, seed = "ideal", 0.0, 7
    last_usage = (11, 5)

    def __init__(self, optimum: np.ndarray) -> None:
        self.optimum, self.prompts = optimum, []

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        # A function of the prompt alone, as a server with a seed is.
        rng = np.random.default_rng([*list(prompt.encode()[-400:]), len(prompt)])
        chosen = re.search(r"with (\d+) different ids", prompt)
        if chosen:
            return json.dumps({"parents": list(range(int(chosen[1])))})
        count = int(re.search(r"with (\d+) list", prompt)[1])  # type: ignore[index]
        rows = self.optimum + 0.02 * rng.standard_normal((count, len(self.optimum)))
        percent = np.round(100 * np.clip(rows, 0, 1), 2)
        return json.dumps({"configurations": percent.tolist()})


def proposer(name: str, seed: int = 3) -> Proposer:
    """A fresh one of each kind, small; ``golden`` is a line by golden section."""
    if name in ("cma", "tpe"):
        import pytest

        pytest.importorskip({"cma": "cma", "tpe": "optuna"}[name])
    if name == "llm":
        ideal = Ideal(fitness().optimum)
        return LlmProposer(space(), Patient(ideal, backoff=0), seed=seed, population=6, initial=8)
    if name == "golden":
        return LineProposer(space(), method="golden", negative=True, step=1e-3)
    return make_proposer(name, space(), seed=seed)


def run(archive: str, name: str = "evolution", evaluations: int = 40) -> None:
    """One search, as a program of its own: ``python search_cases.py ARCHIVE``."""
    search(space(), slow, make_proposer(name, space(), seed=3), evaluations, takes="values",
           archive=archive)


def hold(archive: str) -> None:
    """Lock an archive until killed."""
    def stuck(values: np.ndarray) -> float:
        print("locked", flush=True)
        time.sleep(60)
        return 1.0

    search(space(), stuck, RandomProposer(space()), 3, takes="values", archive=archive)


if __name__ == "__main__":
    {"run": run, "hold": hold}[sys.argv[1]](*sys.argv[2:])
