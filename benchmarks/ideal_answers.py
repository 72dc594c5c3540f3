"""A scripted partner for the search by prompts: always valid JSON, and it knows what was measured.

The ceiling of what the dialogue can give: it reads the same prompts as a language model, chooses
the best parents, crosses them by their mean, and where a language model would guess which parts
matter it asks the exact allocator, with the measured gains changed a little at random.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets import Budget
from neurosparse.budgets.structures import SiteDamage, structure_budget
from neurosparse.pruning.structured import Ladder
from neurosparse.search import Space

Floats = NDArray[np.float64]
_WIDE, _NARROW = 0.4, 0.15


class IdealAnswers:
    """``complete(prompt) -> str``; the same prompt gives the same answer.

    Parameters
    ----------
    space
        Whose configurations are asked for.
    known
        Budget of rule ``propagation``: its notes hold the gains.
    ladders
        Errors of the sites.
    """

    model, temperature = "scripted", 0.0

    def __init__(self, space: Space, known: Budget, ladders: Mapping[str, Ladder], *,
                 seed: int = 0) -> None:
        self.space, self.seed, self.rate = space, seed, known.total.asked
        gains = known.rule.notes["gains"]
        self.sites = [SiteDamage(name, one.group.whole, one.group.parameters, one.group.choices,
                                 one.errors[list(one.group.choices)], gains[name])
                      for name, one in ladders.items()]

    def __call__(self, prompt: str) -> str:
        """What the prompt asks for."""
        digest = hashlib.sha256(f"{self.seed}\0{prompt}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        shown = [json.loads(line) for line in re.findall(r'^\{"id".*$', prompt, re.MULTILINE)]
        shown.sort(key=lambda each: each.get("value", 0.0))
        if '{"parents": [...]}' in prompt:
            count = int(re.findall(r"with (\d+) different ids", prompt)[-1])
            return json.dumps({"parents": [each["id"] for each in shown[:count]]})
        count = int(re.findall(r"with (\d+) lists? of", prompt)[-1])
        parents = [np.array(each["configuration"], float) / 100 for each in shown]
        made = [self._one(parents, "combines two" in prompt, rng) for _ in range(count)]
        return json.dumps({"configurations": [np.round(100 * each, 1).tolist() for each in made]})

    def _one(self, parents: list[Floats], cross: bool, rng: np.random.Generator) -> Floats:
        if not parents:
            return self._optimum(_WIDE, rng)
        if cross and len(parents) > 1:
            one, other = rng.choice(len(parents), 2, replace=False)
            share = rng.uniform(0.3, 0.7)
            return np.asarray(share * parents[one] + (1 - share) * parents[other], float)
        best = parents[int(rng.integers(min(2, len(parents))))]
        return np.asarray(best + self._optimum(_NARROW, rng) - self._optimum(0.0, rng), float)

    def _optimum(self, spread: float, rng: np.random.Generator) -> Floats:
        """Rates of least damage, were the gains others by so much (of their logarithm)."""
        noise = np.exp(spread * rng.standard_normal(len(self.sites)))
        changed = [replace(site, gain=site.gain * float(by))
                   for site, by in zip(self.sites, noise, strict=True)]
        return structure_budget(changed, self.rate).rates
