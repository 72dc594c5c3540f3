"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets import Budget
from neurosparse.errors import NeurosparseError
from neurosparse.search.space import Space

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One evaluation of this run.

    Attributes
    ----------
    configuration : array of shape (units,)
    fidelity
    value
        None where it failed.
    reason
        Why it failed.
    spent
        Evaluations spent when it was done, in units of one at the highest fidelity.
    shared
        Another run of the same archive had paid for it.
    """

    configuration: Floats
    fidelity: int
    value: float | None
    reason: str | None
    spent: float
    shared: bool


@dataclass(frozen=True)
class SearchResult:
    """All that one run evaluated.

    Attributes
    ----------
    space
    trials
        In order, each configuration once at each fidelity.
    top
        The fidelity that decides.
    ended
        ``"evaluations"``: the budget is spent; ``"finished"``: the proposer has nothing more to
        ask; ``"repeating"``: it asks only what is known.
    repeats
        Proposals that were known already in this run, and cost nothing.
    run
        Its name in the archive.
    record
        What the proposer says of itself (validity rate, tokens).
    """

    space: Space
    trials: list[Trial]
    top: int
    ended: Literal["evaluations", "finished", "repeating"]
    repeats: int
    run: str
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Trial:
        """The least value at the highest fidelity; the first of equals.

        Raises
        ------
        NeurosparseError
            No evaluation succeeded; the first reason is named.
        """
        good = [t for t in self.trials if t.value is not None and t.fidelity == self.top]
        if not good:
            reason = next((t.reason for t in self.trials if t.reason), "nothing was evaluated")
            raise NeurosparseError("search", found=f"{len(self.trials)} evaluations, all failed: "
                                   f"{reason}", expected="at least one finite value")
        return min(good, key=lambda trial: np.inf if trial.value is None else trial.value)

    @property
    def value(self) -> float:
        """The best value."""
        return float(self.best.value)  # type: ignore[arg-type]

    def budget(self) -> Budget:
        """The best configuration as a budget (one kind; else ``space.budgets``)."""
        return self.space.budget(self.best.configuration)

    @property
    def spent(self) -> float:
        """Evaluations, in units of one at the highest fidelity."""
        return self.trials[-1].spent if self.trials else 0.0

    @property
    def failed(self) -> int:
        """Evaluations without a finite value."""
        return sum(trial.value is None for trial in self.trials)

    @property
    def shared(self) -> int:
        """Values that another run of the archive had paid for."""
        return sum(trial.shared for trial in self.trials)

    def values(self) -> Floats:
        """Values at the highest fidelity in order, infinite where failed; (evaluations,)."""
        return np.array([np.inf if t.value is None else t.value for t in self.trials
                         if t.fidelity == self.top])
