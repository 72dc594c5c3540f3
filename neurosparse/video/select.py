"""Rules for comparison: whole frames chosen by their scores, all at the same number of tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _checked(scores: ArrayLike, count: int, operation: str) -> Floats:
    values = np.asarray(scores, float)
    if values.ndim != 1 or not len(values) or not 1 <= count <= len(values):
        raise InputError(operation, found=f"{count} of scores of shape {values.shape}",
                         expected="one score a frame, and a count from 1 to the frames")
    return np.where(np.isfinite(values), values, -np.inf)


def _best(values: Floats, count: int) -> Ints:
    return np.asarray(np.argsort(-values, kind="stable")[:count], np.int64)


def adaptive_keyframes(
    scores: ArrayLike, count: int, *, threshold: float = 0.8, depth: int = 5
) -> Ints:
    """Frames by adaptive keyframe sampling: relevance where it peaks, coverage where it does not.

    A stretch whose ``k`` best frames stand out (their mean is above the stretch's mean by
    ``threshold``, scores scaled to [0, 1]) gives these; another is halved in time, with half of
    the frames to give each, down to ``depth`` halvings.

    Parameters
    ----------
    scores
        Shape (frames,).
    count
        Frames to choose.
    threshold
        Of the scaled scores; above 1 gives uniform stretches, 0 the top ``count``.
    depth
        Halvings at most.

    Returns
    -------
    array of shape (count,)
        Strictly increasing.

    Raises
    ------
    InputError
        A count out of range.

    References
    ----------
    Adaptive Keyframe Sampling, arXiv 2502.21271, section 3.3 (ADA).
    """
    values = _checked(scores, count, "choose key frames")
    finite = values[np.isfinite(values)]
    low, spread = (finite.min(), np.ptp(finite)) if len(finite) else (0.0, 0.0)
    # Just below the lowest: chosen last, without a weight in the means.
    scaled = np.where(np.isfinite(values), (values - low) / (spread or 1.0), -1e-9)
    chosen: list[int] = []
    todo = [(0, len(values), count, 0)]
    while todo:
        start, stop, wanted, level = todo.pop()
        part = scaled[start:stop]
        best = _best(part, wanted)
        stands_out = wanted > 0 and float(part[best].mean() - part.mean()) >= threshold
        if wanted < 2 or level >= depth or stands_out or wanted == len(part):
            chosen.extend((start + best).tolist())
            continue
        middle = (start + stop) // 2
        # An odd frame goes to the later half, which is never the shorter one.
        first = min(wanted // 2, middle - start)
        todo += [(start, middle, first, level + 1), (middle, stop, wanted - first, level + 1)]
    return np.sort(np.array(chosen, np.int64))


def diverse_frames(scores: ArrayLike, features: ArrayLike, count: int) -> Ints:
    """Frames that are relevant and unlike one another: a greedy determinantal point process.

    Maximises the determinant of ``L[i, j] = r_i r_j cos(f_i, f_j)`` over the frames chosen, one
    frame at a time, by an incremental Cholesky factorisation.

    Parameters
    ----------
    scores
        Relevance r >= 0, shape (frames,).
    features
        Shape (frames, width).
    count
        Frames to choose. Where fewer span all there is, the rest are those of highest score.

    Returns
    -------
    array of shape (count,)
        Strictly increasing.

    Raises
    ------
    InputError
        A count out of range, a negative score, or features that do not fit.

    References
    ----------
    Chen, Zhang and Zhou, arXiv 1709.05135, algorithm 1; with the question's relevance as in
    CDPruner.
    """
    values = _checked(scores, count, "choose diverse frames")
    rows = np.asarray(features, float)
    if rows.ndim != 2 or len(rows) != len(values) or not np.all(np.isfinite(rows)):
        raise InputError("choose diverse frames", found=f"features of shape {rows.shape}",
                         expected=f"finite, ({len(values)}, width)")
    relevance = np.where(np.isfinite(values), values, 0.0)
    if np.any(relevance < 0):
        raise InputError("choose diverse frames", found=f"a score of {relevance.min():.6g}",
                         expected="scores >= 0")
    length = np.linalg.norm(rows, axis=1)
    scaled = relevance[:, None] * rows / np.where(length > 0, length, 1.0)[:, None]
    left = np.einsum("ij,ij->i", scaled, scaled)
    least = 1e-12 * left.max()
    basis = np.zeros((count, len(values)))
    chosen: list[int] = []
    while len(chosen) < count:
        best = int(np.argmax(left))
        if left[best] <= least:
            break
        step = len(chosen)
        projected = scaled @ scaled[best] - basis[:step].T @ basis[:step, best]
        basis[step] = projected / np.sqrt(left[best])
        left = left - basis[step] ** 2
        chosen.append(best)
        left[chosen] = -np.inf
    missing = [i for i in _best(values, len(values)).tolist() if i not in chosen]
    return np.sort(np.array(chosen + missing[: count - len(chosen)], np.int64))
