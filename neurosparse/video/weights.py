"""Scores to weights, and the guard that mixes them towards uniform."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError

Floats = NDArray[np.float64]
WeightRule = Literal["power", "softmax", "rank"]


def weights_of(
    scores: ArrayLike, *, rule: WeightRule = "power", power: float = 2.0,
    temperature: float = 1.0, trust: float = 1.0,
) -> tuple[Floats, tuple[str, ...]]:
    """Share of the budget that each frame should get, before caps and floors.

    Parameters
    ----------
    scores
        Relevance of the frames, shape (frames,). Those that are not finite count as the lowest.
    rule
        ``"power"``: proportional to ``score ** power`` (scores >= 0; the paper's, with power 2);
        ``"softmax"``: to ``exp(score / temperature)``; ``"rank"``: to ``rank ** power``, the
        lowest score having rank 1 and equal scores their mean rank.
    power
        0 is uniform; the greater, the more goes to the best frame.
    temperature
        In units of the scores.
    trust
        The guard: ``trust * weights + (1 - trust) * uniform``; see :func:`agreement`.

    Returns
    -------
    weights : array of shape (frames,)
        Non-negative, of sum 1.
    notes
        What was not as usual (scores without information: uniform weights).

    Raises
    ------
    InputError
        No scores, a negative one under ``"power"``, or an option out of range.

    References
    ----------
    QuoTA (arXiv 2503.08689): weights ``p_t^2 / sum_s p_s^2``.
    """
    given = np.asarray(scores, float)
    _check(given, rule, power, temperature, trust)
    finite = np.isfinite(given)
    uniform = np.full(len(given), 1.0 / len(given))
    notes: list[str] = []
    if not finite.all() and finite.any():
        notes.append(f"{int((~finite).sum())} of {len(given)} scores are not finite: taken as "
                     "the lowest")
    if not finite.any():
        return uniform, ("no score is finite: uniform",)
    filled = np.where(finite, given, given[finite].min() if rule != "power" else 0.0)
    if rule == "power" and filled.max() == 0.0:
        return uniform, (*notes, "all scores are zero: uniform")
    raw = _raw(filled, rule, power, temperature)
    return trust * raw / raw.sum() + (1 - trust) * uniform, tuple(notes)


def _check(given: Floats, rule: str, power: float, temperature: float, trust: float) -> None:
    operation = "weigh frames"
    if given.ndim != 1 or not len(given):
        raise InputError(operation, found=f"scores of shape {given.shape}",
                         expected="one score a frame")
    if rule not in ("power", "softmax", "rank"):
        raise InputError(operation, found=f"rule={rule!r}", expected="power, softmax or rank")
    if not (power >= 0 and temperature > 0 and 0 <= trust <= 1):
        raise InputError(operation,
                         found=f"power={power}, temperature={temperature}, trust={trust}",
                         expected="power >= 0, temperature > 0 and trust in [0, 1]")
    if rule == "power" and np.any(given[np.isfinite(given)] < 0):
        raise InputError(operation, found=f"a score of {np.nanmin(given):.6g}",
                         expected="scores >= 0 for the rule 'power'",
                         mend="Use 'softmax' or 'rank' for similarities.")


def _raw(scores: Floats, rule: str, power: float, temperature: float) -> Floats:
    if rule == "softmax":
        return np.asarray(np.exp((scores - scores.max()) / temperature), float)
    base = scores
    if rule == "rank":
        from scipy.stats import rankdata  # slow to load, and no other rule needs it

        base = np.asarray(rankdata(scores), float)
    # Divided by the greatest first: a power of a small number must not vanish as a whole.
    return np.asarray((base / base.max()) ** power, float)


def agreement(readings: ArrayLike, *, layout: tuple[int, int] | None = None) -> float:
    """How far a scorer's readings of the same frames agree: its reliability, without labels.

    The mean correlation over pairs of readings (options swapped, or paraphrases), less one
    standard error (Fisher's z), stepped up to the reliability of the readings' mean by the
    Spearman-Brown formula ``R r / (1 + (R - 1) r)``, and never negative. A scorer that answers
    with a letter and not with the picture reads the same frames in opposite ways when the
    options are swapped, and gets 0. A scorer that is wrong in the same way every time is not
    found out: this is an estimate and no bound.

    Parameters
    ----------
    readings
        Shape (readings, frames). With one reading, or fewer than 4 frames, nothing can be said
        and the result is 1.
    layout
        In which two ways the readings differ, as (wordings, orders): the lesser of the agreement
        of the wordings (each its mean over the orders) and of the orders. Compared all with all,
        readings that share a wording would speak for a scorer that answers by it.

    Returns
    -------
    float
        In [0, 1]; 0 where a reading is constant or not finite.

    Raises
    ------
    InputError
        Not a table, or a layout that does not make its readings.
    """
    table = np.asarray(readings, float)
    if table.ndim != 2 or not table.size:
        raise InputError("compare readings", found=f"shape {table.shape}",
                         expected="(readings, frames)")
    count, frames = table.shape
    if layout is not None and layout[0] * layout[1] != count:
        raise InputError("compare readings", found=f"{count} readings",
                         expected=f"{layout[0]} x {layout[1]}")
    if layout is not None and min(layout) > 1:
        cube = table.reshape(*layout, frames)
        return min(agreement(cube.mean(axis=1)), agreement(cube.mean(axis=0)))
    if count < 2 or frames < 4:
        return 1.0
    spread = np.ptp(table, axis=1)
    if not np.all(np.isfinite(table)) or np.any(spread <= 1e-12 * np.abs(table).max()):
        return 0.0
    mean = float(np.corrcoef(table)[np.triu_indices(count, 1)].mean())
    z = np.arctanh(np.clip(mean, -1 + 1e-12, 1 - 1e-12)) - 1 / np.sqrt(max(frames - 3, 1))
    cautious = max(float(np.tanh(z)), 0.0)
    return float(count * cautious / (1 + (count - 1) * cautious))
