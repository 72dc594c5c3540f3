"""What is searched: named units with a box each, and one total that they keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.budgets import Budget, BudgetTarget, ModelIdentity, Rule, Total
from neurosparse.budgets.budget import Kind
from neurosparse.errors import BudgetError
from neurosparse.search.projection import Constraint, project

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """One number of a configuration.

    Attributes
    ----------
    name
        Module path, as in a budget.
    size
        What a value of one costs: the parameters of a target whose rate is searched (kind
        ``"sparsity"``) or whose bits are; of one head, one neuron, one expert; of one rank.
    kind
        Rates are continuous; all other kinds are whole numbers.
    lower, upper
        Box of the value.
    """

    name: str
    size: int
    kind: Kind = "sparsity"
    lower: float = 0.0
    upper: float = 1.0

    @property
    def integer(self) -> bool:
        """Whether the value is a whole number."""
        return self.kind != "sparsity"


class Space:
    """All configurations: one value a unit, inside its box, with a weighted mean that is kept.

    Parameters
    ----------
    units
        With names that differ within a kind.
    total
        ``sum(size * value) / whole`` of every configuration. Of rates it is kept to 1e-12; of whole
        numbers as nearly as the finest grain allows (``kept`` says what is reached).
    whole
        The sum of the sizes by default, so that ``total`` is the weighted mean. For heads and
        neurons the parameters of all that could be taken away.
    model
        Whose configurations these are; an archive of another model is refused.
    resolution
        Rates that agree on this grid are one configuration to the cache.

    Raises
    ------
    BudgetError
        No unit, a name twice, a size or a box that makes no sense, or a total out of reach.
    """

    def __init__(self, units: Sequence[Unit], total: float, *, whole: float | None = None,
                 model: ModelIdentity | Mapping[str, Any] | None = None,
                 resolution: float = 1e-4) -> None:
        _check_units(units)
        if not resolution > 0:
            raise BudgetError("make a search space", found=f"resolution {resolution!r}",
                              expected="a positive number")
        self.units = tuple(units)
        self.total, self.resolution = float(total), float(resolution)
        self.sizes = _fixed([unit.size for unit in units])
        self.whole = float(self.sizes.sum()) if whole is None else float(whole)
        if not (np.isfinite(self.total) and np.isfinite(self.whole) and self.whole > 0):
            raise BudgetError("make a search space", found=f"total {total!r} of {whole!r}",
                              expected="a finite total of a positive whole")
        self.lower = _fixed([unit.lower for unit in units])
        self.upper = _fixed([unit.upper for unit in units])
        self.integer = np.array([unit.integer for unit in units])
        self.integer.setflags(write=False)
        self.model = model if model is None or isinstance(model, ModelIdentity) \
            else ModelIdentity(**model)
        self.constraint = Constraint(self.sizes, self.lower, self.upper, self.integer,
                                     self.total * self.whole)
        self.constraint.check()

    def __len__(self) -> int:
        return len(self.units)

    @property
    def span(self) -> Floats:
        """Widths of the boxes, array of shape (units,)."""
        return self.upper - self.lower

    def project(self, values: ArrayLike) -> Floats:
        """The configuration that belongs to any finite numbers; see :mod:`.projection`.

        Raises
        ------
        BudgetError
            Not one finite number for each unit.
        """
        return project(np.array(values, float), self.constraint)

    def holds(self, values: ArrayLike) -> bool:
        """Whether these are a configuration of this space."""
        found = np.asarray(values, float)
        return found.shape == self.sizes.shape and self.constraint.holds(found)

    def mean(self, values: ArrayLike) -> float:
        """``sum(size * value) / whole``: what a configuration keeps."""
        return float(self.sizes @ np.asarray(values, float)) / self.whole

    def even(self) -> Floats:
        """The configuration that stands equally far in every box: uniform rates."""
        low, high = float(self.sizes @ self.lower), float(self.sizes @ self.upper)
        share = (self.constraint.total - low) / (high - low) if high > low else 0.0
        return self.project(self.lower + share * self.span)

    @property
    def kept(self) -> float:
        """The total that is reached: the one asked, or the nearest that whole numbers reach."""
        return self.mean(self.even())

    def key(self, values: ArrayLike) -> str:
        """Name of a configuration in the cache: the same for equal whole numbers and for rates
        that round to the same multiples of ``resolution``.
        """
        grid = np.where(self.integer, 1.0, self.resolution)
        steps = np.rint(np.asarray(values, float) / grid).astype(np.int64)
        return hashlib.sha256(json.dumps(steps.tolist()).encode()).hexdigest()[:24]

    def distance(self, one: ArrayLike, other: ArrayLike) -> float:
        """Greatest difference of two configurations, in widths of the boxes."""
        gap = np.abs(np.asarray(one, float) - np.asarray(other, float))
        return float(np.max(np.divide(gap, self.span, out=np.zeros_like(gap),
                                      where=self.span > 0)))

    def budgets(self, values: ArrayLike, *, rule: str = "search") -> list[Budget]:
        """A configuration as budgets, one for each kind in the order of the units."""
        found = np.asarray(values, float)
        made = []
        for kind in dict.fromkeys(unit.kind for unit in self.units):
            here = [i for i, unit in enumerate(self.units) if unit.kind == kind]
            kept = float(np.average(found[here], weights=self.sizes[here]))
            alone = len(here) == len(self)
            made.append(Budget(
                kind=kind, model=self.model, rule=Rule(name=rule),
                total=Total(asked=self.constraint.total / float(self.sizes.sum()) if alone
                            else kept, kept=kept),
                targets=[BudgetTarget(name=self.units[i].name, size=self.units[i].size,
                                      value=float(found[i])) for i in here]))
        return made

    def budget(self, values: ArrayLike, *, rule: str = "search") -> Budget:
        """A configuration as a budget.

        Raises
        ------
        BudgetError
            The space has several kinds; ``budgets`` gives one for each.
        """
        made = self.budgets(values, rule=rule)
        if len(made) != 1:
            raise BudgetError("make a budget", found=f"kinds {[each.kind for each in made]}",
                              expected="one kind", mend="Take space.budgets(...).")
        return made[0]

    def identity(self) -> dict[str, Any]:
        """What an archive of this space writes into its header and compares."""
        units = json.dumps([asdict(unit) for unit in self.units])
        return {"units": len(self), "sha256": hashlib.sha256(units.encode()).hexdigest(),
                "total": self.total, "whole": self.whole, "resolution": self.resolution}


def _fixed(values: Sequence[float]) -> Floats:
    array = np.array(values, float)
    array.setflags(write=False)
    return array


def _check_units(units: Sequence[Unit]) -> None:
    names = [(unit.kind, unit.name) for unit in units]
    if not names or len(set(names)) != len(names):
        raise BudgetError("make a search space", found=f"{len(names)} units",
                          expected="at least one, with names that differ within a kind")
    for unit in units:
        box = np.array([unit.lower, unit.upper], float)
        whole = np.all(box == np.rint(box)) if unit.integer else unit.lower >= 0 and unit.upper <= 1
        if not (unit.size > 0 and np.all(np.isfinite(box)) and box[0] <= box[1] and whole):
            need = "whole numbers" if unit.integer else "rates in [0, 1]"
            raise BudgetError(
                "make a search space",
                found=f"{unit.name} of size {unit.size!r} in [{unit.lower!r}, {unit.upper!r}]",
                expected=f"a positive size and {need}, lower <= upper")
