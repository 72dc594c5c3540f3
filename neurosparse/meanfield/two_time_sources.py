"""The white sources from which every trajectory of a single-site process is made."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Array = NDArray[np.float64]


def exact_sources(count: int) -> Array:
    """``count`` orthogonal sources over as many samples [count, count]: sums over samples are then
    exact Gaussian averages of every product of two linear functions of the sources.
    """
    return np.asarray(np.sqrt(count) * np.eye(count), dtype=np.float64)


def matched_sources(count: int, samples: int, rng: np.random.Generator) -> Array:
    """Gaussian sources [count, samples] whose sample covariance is exactly the identity.

    The linear part of every second moment is then free of sampling error (second-order moment
    matching); what remains is the non-Gaussian part. Each sample is still a standard Gaussian
    vector to O(1 / samples). With fewer than ``2 count`` samples matching would distort single
    samples, so that the sources are then plain draws.
    """
    sources = rng.standard_normal((count, samples))
    if samples >= 2 * count:
        factor = scipy.linalg.cholesky(sources @ sources.T / samples, lower=True)
        sources = scipy.linalg.solve_triangular(factor, sources, lower=True, overwrite_b=True,
                                                check_finite=False)
    return np.ascontiguousarray(sources)
