"""A space and a population in words and JSON, as the prompts show them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.search.prompts.places import find_places
from neurosparse.search.space import Space

Floats = NDArray[np.float64]
_MEANING = {
    "sparsity": "A number is the percentage of the part that is removed.",
    "heads": "A number says how many attention heads of the part are removed.",
    "neurons": "A number says how many neurons of the part are removed.",
    "experts": "A number says how many experts of the part are removed.",
    "rank": "A number is the rank that the part gets.",
    "tokens": "A number says how many tokens the part gets.",
    "bits": "A number says how many bits each weight of the part gets.",
}


class Description:
    """What a model is shown: whole numbers, one a place; rates in percent.

    A place is a unit, or a stretch of neighbours of one sort (:mod:`.places`) whose mean it shows.
    What the model writes are changes to a configuration that it was shown: a number that is copied
    changes nothing, not even decimals that it does not show; another is a unit's new value, or
    moves the units of a stretch together by the difference, so that those among them stay.

    Parameters
    ----------
    space
        What is searched.
    order : sequence of length places, optional
        Place behind each name. The names stay, in their own order: under a permutation the model
        sees another part's values beside a name, which tests whether it knows anything of the
        names.
    numbers
        Places at most; None for one a unit.

    Raises
    ------
    InputError
        ``order`` is no permutation, or ``numbers`` below 1.
    """

    def __init__(self, space: Space, order: Sequence[int] | None = None,
                 numbers: int | None = None) -> None:
        self.space = space
        self.places = find_places(space.units, numbers)
        count = len(self.places)
        self.order = np.arange(count) if order is None else np.asarray(order, int)
        if sorted(self.order.tolist()) != list(range(count)):
            raise InputError("describe a search space", found=f"order {order!r}",
                             expected=f"a permutation of 0 .. {count - 1}")
        self._behind = [self.places[i].units for i in self.order]
        self._scale = np.where(space.integer, 1.0, 100.0)

    def __len__(self) -> int:
        return len(self.places)

    def fields(self) -> dict[str, object]:
        """What the templates name of the space: ``units``, ``parts``, ``mean`` and so on."""
        space = self.space
        kinds = dict.fromkeys(unit.kind for unit in space.units)
        mean = np.average(self._scale * space.constraint.total / space.sizes.sum(),
                          weights=space.sizes)
        return {
            "units": len(self), "parts": self._parts(), "numbers": "whole numbers",
            "meaning": " ".join(_MEANING[kind] if len(kinds) == 1 else
                                f"Of {kind}: {_MEANING[kind]}" for kind in kinds),
            "lower": f"{(space.lower * self._scale).min():g}",
            "upper": f"{(space.upper * self._scale).max():g}", "mean": f"{mean:.4g}",
        }

    def _parts(self) -> str:
        space = self.space
        several = len({unit.kind for unit in space.units}) > 1
        low, high = space.lower * self._scale, space.upper * self._scale
        same_box = np.ptp(low) == 0 == np.ptp(high)
        lines = []
        for number, (place, behind) in enumerate(zip(self.places, self._behind, strict=True), 1):
            share = space.sizes[behind].sum() / space.sizes.sum()
            lines.append(f"{number}. {place.name}, {share:.2g} of the size"
                         + (f", {space.units[behind[0]].kind}" if several else "")
                         + ("" if same_box else f", from {low[behind].min():g} to "
                            f"{high[behind].max():g}"))
        return "\n".join(lines)

    def shown(self, configuration: Floats) -> list[int]:
        """A configuration as the model sees it: by place, the mean of its units by size."""
        scaled = configuration * self._scale
        return [round(float(np.average(scaled[behind], weights=self.space.sizes[behind])))
                for behind in self._behind]

    def meant(self, numbers: Sequence[float], seen: Sequence[Floats]) -> Floats:
        """What numbers by place mean by unit, before it is brought onto the constraint.

        Parameters
        ----------
        seen
            Configurations of which it is a change: the one whose numbers are nearest.
        """
        wanted = np.asarray(numbers, float)
        gaps = [wanted - self.shown(each) for each in seen]
        nearest = int(np.argmin([np.abs(gap).sum() for gap in gaps]))
        found = np.array(seen[nearest], float)
        for behind, number, gap in zip(self._behind, wanted, gaps[nearest], strict=True):
            if len(behind) == 1 and gap:
                found[behind] = number / self._scale[behind]
            else:
                found[behind] += gap / self._scale[behind]
        return found

    def population(self, configurations: Sequence[Floats], values: Sequence[float] | None) -> str:
        """One JSON object a line, with its id and, unless None, its value."""
        lines = []
        for number, configuration in enumerate(configurations):
            value = {} if values is None else {"value": float(f"{values[number]:.5g}")}
            lines.append(json.dumps({"id": number, **value,
                                     "configuration": self.shown(configuration)}))
        return "\n".join(lines)
