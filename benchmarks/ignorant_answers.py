"""A scripted partner for the search by prompts that knows nothing: valid JSON, drawn at random.

The control of what a language model adds to the form of the dialogue: the same few numbers a
configuration, the same parents shown; parents are chosen by lot, crossover takes each number from
either of two, everything else is a Gaussian change of a width drawn as random search draws it.
"""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SPREAD = (2.0, 15.0)
"""Widths of the changes, percent (``random`` draws 0.02 to 0.15)."""


class IgnorantAnswers:
    """``complete(prompt) -> str``; the same prompt gives the same answer."""

    model, temperature = "ignorant", 0.0

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, prompt: str) -> str:
        """What the prompt asks for, whatever the values say."""
        digest = hashlib.sha256(f"{self.seed}\0{prompt}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        shown = [json.loads(line) for line in re.findall(r'^\{"id".*$', prompt, re.MULTILINE)]
        if '{"parents": [...]}' in prompt:
            count = int(re.findall(r"with (\d+) different ids", prompt)[-1])
            return json.dumps({"parents": rng.permutation(len(shown))[:count].tolist()})
        count = int(re.findall(r"with (\d+) lists? of", prompt)[-1])
        begin = re.search(r"^The search begins at (\[.*\])\.$", prompt, re.MULTILINE)
        rows = [each["configuration"] for each in shown] or [json.loads(begin[1] if begin else "")]
        made = [self._one(np.array(rows, float), "combines two" in prompt, rng)
                for _ in range(count)]
        return json.dumps({"configurations": [np.rint(each).tolist() for each in made]})

    def _one(self, rows: Floats, cross: bool, rng: np.random.Generator) -> Floats:
        if cross and len(rows) > 1:
            one, other = rows[rng.choice(len(rows), 2, replace=False)]
            return np.asarray(np.where(rng.random(len(one)) < 0.5, one, other))
        width = float(np.exp(rng.uniform(*np.log(_SPREAD))))
        row = rows[int(rng.integers(len(rows)))]
        return np.asarray(row + width * rng.standard_normal(len(row)))


class CountingAnswers(IgnorantAnswers):
    """Counts upwards through the parts, whatever is shown: what a small model's answers look like.

    From a random number on in equal random steps; so it takes less from the first parts of each
    sort, without having read that they are the first.
    """

    model = "counting"

    def _one(self, rows: Floats, cross: bool, rng: np.random.Generator) -> Floats:
        return np.asarray(rng.uniform(0, 10) + rng.uniform(0.5, 4) * np.arange(rows.shape[1]))
