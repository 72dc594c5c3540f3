"""A token budget shared among frames: whole numbers that add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.budgets import Budget, BudgetTarget, Rule, Total, integers
from neurosparse.errors import BudgetError
from neurosparse.video.grids import Grid, fit_grids
from neurosparse.video.weights import WeightRule, weights_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Frames of no weight get what the others cannot hold, and nothing else.
_LEAST = 1e-12


@dataclass(frozen=True)
class Assignment:
    """What each frame gets.

    Attributes
    ----------
    tokens
        Shape (frames,); they add up to ``total``. Frames with none are dropped, with their time
        stamps.
    grids
        The rectangle of each frame, None for a dropped one; the areas add up to at most
        ``total``.
    weights
        The shares before caps and floors, shape (frames,).
    caps
        The most that each frame holds.
    asked, total
        The budget asked, and that given: less where the frames hold less.
    options
        Of the rule, for the budget's file.
    notes
        What was not as usual.
    """

    tokens: Ints
    grids: tuple[Grid | None, ...]
    weights: Floats
    caps: Ints
    asked: int
    total: int
    options: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def kept(self) -> Ints:
        """Numbers of the frames that are not dropped, increasing."""
        return np.flatnonzero(self.tokens).astype(np.int64)

    def budget(self) -> Budget:
        """As a ``Budget`` of kind ``"tokens"``; targets are ``frame.0``, ``frame.1`` ..."""
        return Budget(
            kind="tokens",
            rule=Rule(name="quota", options=self.options, notes={"notes": list(self.notes)}),
            total=Total(asked=self.asked, kept=self.total, weight="tokens"),
            targets=[BudgetTarget(name=f"frame.{i}", size=int(cap), value=int(count))
                     for i, (cap, count) in enumerate(zip(self.caps, self.tokens, strict=True))],
        )


def assign_tokens(
    scores: ArrayLike, budget: int, *, full: Grid | Sequence[Grid], floor: int = 1,
    rule: WeightRule = "power", power: float = 2.0, temperature: float = 1.0, trust: float = 1.0,
) -> Assignment:
    """Share a token budget among frames by their scores.

    Shares are proportional to the weights, up to the cap of each frame; what a capped frame
    leaves goes to the others (water-filling). Whole numbers come from ``budgets.integers`` with
    the cost ``k^2 / (2 w_t)`` of k tokens, whose marginal greedy is the exact and proportional
    (Sainte-Lague) rounding: a higher score never gets fewer tokens.

    Parameters
    ----------
    scores
        Shape (frames,).
    budget
        Tokens; separators that a model puts between rows or frames are not counted.
    full
        Grid that a frame has (height, width), one for all or one a frame; its area is the cap.
    floor
        Frames whose share is smaller are dropped, the lowest scores first. What the frames that
        are left cannot hold is not given: of 6 tokens 4, where a frame has 4 or none.
    rule, power, temperature, trust
        As for :func:`weights_of`.

    Raises
    ------
    InputError
        As for :func:`weights_of`.
    BudgetError
        A budget or floor that is no whole number, a budget below 1 or below the floor, a floor
        below 1 or above the smallest cap, or grids that do not fit the scores.

    References
    ----------
    QuoTA (arXiv 2503.08689), token assignment; the official code truncates and loses tokens.
    """
    budget, floor = _whole("a budget", budget), _whole("a floor", floor)
    weights, notes = weights_of(scores, rule=rule, power=power, temperature=temperature,
                                trust=trust)
    grids = _grids(full, len(weights))
    caps = np.array([height * width for height, width in grids], np.int64)
    if floor < 1 or floor > caps.min():
        raise BudgetError("assign tokens", found=f"floor={floor}",
                          expected=f"1 to {caps.min()}, what the smallest frame holds")
    if budget < floor:
        raise BudgetError("assign tokens", found=f"a budget of {budget}",
                          expected=f"{floor} or more, enough for one frame")
    said = list(notes)
    # As many frames as the floor allows, the largest of all, hold no more than this.
    total = min(budget, int(np.sort(caps)[::-1][: budget // floor].sum()))
    if total < budget:
        said.append(f"the frames hold {total} tokens, fewer than the {budget} asked"
                    + (f": each has {floor} or none" if total < caps.sum() else ""))
    positive = np.maximum(weights, _LEAST * weights.max())
    # Scores decide where weights are equal (a power of 0, or one that vanishes), unless they are
    # not trusted at all: the shares are then those of no scorer, to the last token.
    decides = np.asarray(scores, float) if trust > 0 else np.zeros(len(weights))
    ranked = np.lexsort((np.arange(len(weights)), -np.nan_to_num(decides), -weights))
    kept = _above_floor(positive, caps, ranked, total, floor)
    if len(kept) < len(weights):
        said.append(f"{len(weights) - len(kept)} of {len(weights)} frames dropped: a share "
                    f"below {floor}")
    tokens = np.zeros(len(weights), np.int64)
    tokens[kept] = floor + integers(
        [_costs(positive[i], int(caps[i]), floor) for i in kept], total - floor * len(kept))
    for cap in np.unique(caps):
        # Rounding of the costs may turn two neighbours round whose weights differ in the last
        # bit; among frames of one size the order of the scores is kept whatever happens.
        same = ranked[caps[ranked] == cap]
        tokens[same] = np.sort(tokens[same])[::-1]
    return Assignment(
        tokens, tuple(fit_grids(tokens, grids, ranked[::-1])), weights, caps, budget, total,
        {"rule": rule, "power": power, "temperature": temperature, "trust": trust,
         "floor": floor}, tuple(said))


def _whole(what: str, value: Any) -> int:
    whole = float(value) if isinstance(value, Real) else np.nan
    if not float(whole).is_integer():
        raise BudgetError("assign tokens", found=f"{what} of {value!r}",
                          expected="a whole number of tokens")
    return int(whole)


def _grids(full: Grid | Sequence[Grid], frames: int) -> list[Grid]:
    one = len(full) == 2 and all(isinstance(n, (int, np.integer)) for n in full)
    grids = [cast(Grid, full)] * frames if one else list(cast(Sequence[Grid], full))
    if len(grids) != frames or any(min(grid) < 1 for grid in grids):
        raise BudgetError("assign tokens", found=f"{len(grids)} grids for {frames} frames",
                          expected="a grid of one token or more for each")
    return grids


def _costs(weight: float, cap: int, floor: int) -> Floats:
    return np.arange(floor, cap + 1, dtype=float) ** 2 / (2 * weight)


def _above_floor(weights: Floats, caps: Ints, order: Ints, total: int, floor: int) -> Ints:
    """Frames to keep, by falling weight: the most for which every share reaches the floor.

    Never so few that they could not hold the whole budget; where the best of the greatest number
    that the floor allows do not hold it, larger frames take the place of the last of them.
    """
    rooms = np.cumsum(caps[order])
    count = min(len(weights), total // floor)
    if rooms[count - 1] < total:
        return _roomy(caps, order, total, count)
    while count > 1 and rooms[count - 2] >= total:
        kept = order[:count]
        if _water(weights[kept], caps[kept].astype(float), total).min() >= floor * (1 - 1e-9):
            break
        count -= 1
    return np.asarray(order[:count], np.int64)


def _roomy(caps: Ints, order: Ints, total: int, count: int) -> Ints:
    """So many frames that hold the total, the best first wherever the others then still can."""
    kept: list[int] = []
    left = total
    for place, frame in enumerate(order):
        later = np.sort(caps[order[place + 1 :]])[::-1][: count - len(kept) - 1]
        if caps[frame] + later.sum() >= left:
            kept.append(int(frame))
            left -= int(caps[frame])
        if len(kept) == count:
            break
    return np.array(kept, np.int64)


def _water(weights: Floats, caps: Floats, total: float) -> Floats:
    """Shares ``min(cap, level * weight)`` that add up to the total, or the caps."""
    if caps.sum() <= total:
        return caps
    full_at = caps / weights
    order = np.argsort(full_at, kind="stable")
    filled = np.concatenate([[0.0], np.cumsum(caps[order])])[:-1]
    open_weight = np.cumsum(weights[order][::-1])[::-1]
    levels = (total - filled) / open_weight
    first = int(np.argmax(levels <= full_at[order]))
    return np.asarray(np.minimum(caps, levels[first] * weights), float)
