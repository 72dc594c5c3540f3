"""Find the sparsity that meets a limit on something else, in few evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from neurosparse.errors import BudgetError


@dataclass(frozen=True)
class Found:
    """A sparsity that keeps within the limit, and what was tried.

    Attributes
    ----------
    sparsity, value
        The one chosen; it was evaluated itself.
    trials
        (sparsity, value) in the order of evaluation.
    bracket
        The greatest that keeps the limit, and the least known not to (or the end of the range).
    """

    sparsity: float
    value: float
    trials: list[tuple[float, float]]
    bracket: tuple[float, float]


def greatest_sparsity(
    value_of: Callable[[float], float], limit: float, *, low: float = 0.0, high: float = 0.95,
    evaluations: int = 8, tolerance: float = 0.005, what: str = "perplexity",
) -> Found:
    """The greatest sparsity whose value is within a limit, for a value that grows with it.

    Bisection, with the secant of the logarithm of the value where two neighbours are known, never
    nearer than a tenth of the bracket to its ends. Evaluated perplexity must come from a selection
    text, never from the one that is reported.

    Parameters
    ----------
    value_of
        Evaluates one sparsity: allocate, prune, measure. Nan counts as beyond the limit.
    limit
        Largest value allowed.
    low, high
        Range of sparsity; ``low`` is evaluated only if nothing else keeps the limit.
    evaluations
        Calls of ``value_of`` at most, at least 2.
    tolerance
        Stop when the bracket is this narrow.
    what
        The value's name, for the message.

    Raises
    ------
    BudgetError
        A range or a count that is not right; or not even ``low`` keeps the limit, which the message
        says with its value.
    """
    _check_range(low, high, evaluations, tolerance)
    trials: list[tuple[float, float]] = []

    def keeps(sparsity: float) -> bool:
        value = float(value_of(sparsity))
        trials.append((sparsity, value))
        return value <= limit

    inside, outside = low, high
    ends: dict[float, float] = {}
    while len(trials) < evaluations - (not ends or inside == low) and outside - inside > tolerance:
        at = _next(inside, outside, ends, limit)
        if keeps(at):
            inside = at
        else:
            outside = at
        ends[at] = trials[-1][1]
    if inside == low and not keeps(low):
        raise BudgetError(
            "search the sparsity", found=f"{what} {trials[-1][1]:.6g} at sparsity {low:g}",
            expected=f"at most {limit:g}",
            mend="No sparsity of the range keeps the limit: allow more, or choose another rule or "
                 "pruning method.")
    return Found(inside, dict(trials)[inside], trials, (inside, outside))


def _check_range(low: float, high: float, evaluations: int, tolerance: float) -> None:
    if not 0 <= low < high <= 1 or evaluations < 2 or not tolerance > 0:
        raise BudgetError("search the sparsity", found=f"range {low} to {high}, {evaluations} "
                          f"evaluations, tolerance {tolerance}",
                          expected="0 <= low < high <= 1, 2 evaluations or more, tolerance > 0")


def _next(inside: float, outside: float, ends: dict[float, float], limit: float) -> float:
    """Middle of the bracket, or where a straight log value between its ends meets the limit."""
    middle = 0.5 * (inside + outside)
    first, second = ends.get(inside), ends.get(outside)
    if first is None or second is None or not 0 < first < second < math.inf or limit <= 0:
        return middle
    share = (math.log(limit) - math.log(first)) / (math.log(second) - math.log(first))
    return inside + min(max(share, 0.1), 0.9) * (outside - inside)


def least_sparsity(
    value_of: Callable[[float], float], limit: float, *, low: float = 0.0, high: float = 1.0,
    evaluations: int = 60, tolerance: float = 1e-6, what: str = "bytes",
) -> Found:
    """The least sparsity whose value is within a limit, for a value that falls with it.

    For values that cost nothing to evaluate (bytes), to ``tolerance``. Both ends of the range are
    evaluated first and count.

    Parameters
    ----------
    value_of, limit, low, high, evaluations, tolerance, what
        As for :func:`greatest_sparsity`; nan counts as beyond the limit here too.

    Raises
    ------
    BudgetError
        A range or a count that is not right; or not even ``high`` keeps the limit.
    """
    _check_range(low, high, evaluations, tolerance)
    trials = [(high, float(value_of(high)))]
    if not trials[0][1] <= limit:
        raise BudgetError("search the sparsity",
                          found=f"{what} {trials[0][1]:.12g} at sparsity {high:g}",
                          expected=f"at most {limit:.12g}",
                          mend="Even the sparsest budget of the range is too large.")
    trials.append((low, float(value_of(low))))
    if trials[1][1] <= limit:
        return Found(low, trials[1][1], trials, (low, low))
    outside, inside = low, high
    while len(trials) < evaluations and inside - outside > tolerance:
        at = 0.5 * (inside + outside)
        trials.append((at, float(value_of(at))))
        if trials[-1][1] <= limit:
            inside = at
        else:
            outside = at
    return Found(inside, dict(trials)[inside], trials, (outside, inside))


def sparsity_for_bits(bits: float, *, value_bits: float = 16.0) -> float:
    """The sparsity at which a packed weight takes ``bits`` on average.

    A packed matrix has one bit a weight in its bitmap and ``value_bits`` for each that is kept:
    ``bits = 1 + (1 - S) value_bits`` (padding and row scales apart; ``sparsity_for_bytes`` of the
    room ``measure`` counts them).

    Raises
    ------
    BudgetError
        No sparsity in [0, 1) takes so many.
    """
    if not 1 < bits <= 1 + value_bits:
        raise BudgetError("search the sparsity", found=f"{bits!r} bits a weight",
                          expected=f"more than 1, the bitmap, and at most {1 + value_bits:g}")
    return 1.0 - (bits - 1.0) / value_bits
