"""What a scorer of known quality is worth: closed forms for one frame that matters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from neurosparse.errors import InputError

Floats = NDArray[np.float64]
Reader = Callable[[Floats], Floats]


def _parts(
    false_alarm: float, budget: float, reader: Reader, frames: int, ratio: float, cap: float
) -> tuple[float, float, float]:
    """Accuracy where the frame is flagged, where it is missed, and with even shares."""
    if not (0 <= false_alarm <= 1 and 0 <= ratio <= 1 and frames >= 1 and budget > 0 and cap > 0):
        raise InputError(
            "weigh a planted scorer",
            found=f"false_alarm={false_alarm}, ratio={ratio}, frames={frames}, budget={budget}, "
                  f"cap={cap}", expected="rates in [0, 1], and the others positive")
    others = np.arange(frames, dtype=float)  # how many of the other frames are flagged
    chance = binom.pmf(others, frames - 1, false_alarm)
    flagged = budget / (1 + others + ratio * (frames - 1 - others))
    weight = others + ratio * (frames - others)
    # Nothing flagged and no weight for the rest: all scores are alike, and so are the shares.
    missed = np.where(weight > 0, ratio * budget / np.where(weight > 0, weight, 1),
                      budget / frames)
    if ratio == 0:
        missed[0] = budget / frames

    def mean(tokens: Floats) -> float:
        return float(chance @ np.asarray(reader(np.minimum(tokens, cap)), float))

    even = np.full(frames, budget / frames)
    return mean(flagged), mean(missed), mean(even)


def planted_accuracy(
    hit: float, false_alarm: float, budget: float, reader: Reader, *, frames: int,
    ratio: float = 0.0, cap: float = np.inf,
) -> float:
    """Expected accuracy with a scorer that flags frames independently.

    One frame of ``frames`` matters. It is flagged with probability ``hit``, each other with
    ``false_alarm``; flagged frames have weight 1 and the others ``ratio``, and tokens are shared
    by weight. With K other frames flagged, K binomial,

        h E[a(B / (1 + K + r (T - 1 - K)))] + (1 - h) E[a(r B / (K + r (T - K)))].

    Parameters
    ----------
    hit, false_alarm
        Rates of the scorer.
    budget
        Tokens of the video.
    reader
        Probability of a right answer from n tokens of the frame that matters, of an array.
    frames
        Of the video.
    ratio
        Weight of a frame that is not flagged; for scores a and b and the power rule
        ``(b / a) ** power``. A guard that trusts by t makes of r, on average, at least
        ``(1 - t) / (1 + t (T - 1))``.
    cap
        Tokens that a frame holds; what is beyond is lost here (water-filling would give it to
        other frames, which do not matter).

    Raises
    ------
    InputError
        A number out of its range.
    """
    flagged, missed, _ = _parts(false_alarm, budget, reader, frames, ratio, cap)
    return hit * flagged + (1 - hit) * missed


def break_even(
    false_alarm: float, budget: float, reader: Reader, *, frames: int, ratio: float = 0.0,
    cap: float = np.inf,
) -> float:
    """The hit rate from which a scorer is better than even shares.

    The accuracy of :func:`planted_accuracy` is linear in the hit rate: with ``A1`` its value at
    1, ``A0`` at 0 and ``A`` that of even shares, the break-even is ``(A - A0) / (A1 - A0)``.
    For a reader that is linear up to the cap it is near the false-alarm rate; a concave reader,
    which gains little from more tokens, asks for a better scorer.

    Returns
    -------
    float
        Above 1 where no scorer with so many false alarms pays; not a number where the scorer
        changes nothing.

    Raises
    ------
    InputError
        As for :func:`planted_accuracy`.
    """
    flagged, missed, even = _parts(false_alarm, budget, reader, frames, ratio, cap)
    return (even - missed) / (flagged - missed) if flagged != missed else float("nan")
