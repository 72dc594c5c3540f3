"""A space and a population in words and JSON, as the prompts show them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.search.space import Space

Floats = NDArray[np.float64]
_MEANING = {
    "sparsity": "A number is the share of the part that is removed, 0 nothing and 1 all.",
    "heads": "A number says how many attention heads of the part are removed.",
    "neurons": "A number says how many neurons of the part are removed.",
    "experts": "A number says how many experts of the part are removed.",
    "rank": "A number is the rank that the part gets.",
    "tokens": "A number says how many tokens the part gets.",
    "bits": "A number says how many bits each weight of the part gets.",
}
DECIMALS = 3


class Description:
    """What a model is shown; its places are the units, or a permutation of them.

    Parameters
    ----------
    space
        What is searched.
    order : sequence of length units, optional
        Unit at each place. The names stay, in their own order: under a permutation the model sees
        another unit's values beside a name, which tests whether it knows anything of the names.

    Raises
    ------
    InputError
        ``order`` is no permutation.
    """

    def __init__(self, space: Space, order: Sequence[int] | None = None) -> None:
        self.space = space
        self.order = np.arange(len(space)) if order is None else np.asarray(order, int)
        if sorted(self.order.tolist()) != list(range(len(space))):
            raise InputError("describe a search space", found=f"order {order!r}",
                             expected=f"a permutation of 0 .. {len(space) - 1}")

    def fields(self) -> dict[str, object]:
        """What the templates name of the space: ``units``, ``parts``, ``mean`` and so on."""
        space = self.space
        kinds = dict.fromkeys(unit.kind for unit in space.units)
        return {
            "units": len(space), "parts": self._parts(),
            "numbers": "whole numbers" if space.integer.all() else "numbers",
            "meaning": " ".join(_MEANING[kind] if len(kinds) == 1 else
                                f"Of {kind}: {_MEANING[kind]}" for kind in kinds),
            "lower": f"{space.lower.min():g}", "upper": f"{space.upper.max():g}",
            "mean": f"{space.constraint.total / space.sizes.sum():.4g}",
        }

    def _parts(self) -> str:
        units = [self.space.units[i] for i in self.order]
        same_box = len({(unit.lower, unit.upper) for unit in units}) == 1
        several = len({unit.kind for unit in units}) > 1
        return "\n".join(
            f"{place}: {self.space.units[place].name}, size {unit.size}"
            + (f", {unit.kind}" if several else "")
            + ("" if same_box else f", from {unit.lower:g} to {unit.upper:g}")
            for place, unit in enumerate(units))

    def shown(self, configuration: Floats) -> list[float]:
        """A configuration as the model sees it: by place, few decimals."""
        return [int(configuration[i]) if self.space.integer[i]
                else round(float(configuration[i]), DECIMALS) for i in self.order]

    def meant(self, numbers: Sequence[float]) -> Floats:
        """Numbers by place, as the model wrote them, by unit."""
        found = np.empty(len(self.space))
        found[self.order] = numbers
        return found

    def population(self, configurations: Sequence[Floats], values: Sequence[float] | None) -> str:
        """One JSON object a line, with its id and, unless None, its value."""
        lines = []
        for number, configuration in enumerate(configurations):
            value = {} if values is None else {"value": float(f"{values[number]:.5g}")}
            lines.append(json.dumps({"id": number, **value,
                                     "configuration": self.shown(configuration)}))
        return "\n".join(lines)
