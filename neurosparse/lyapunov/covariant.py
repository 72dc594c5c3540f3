"""Covariant Lyapunov vectors (Ginelli et al. 2007): forward QR, then backward through the R.

The frame of the QR is orthogonal by force; covariant vectors are carried into one another by the
tangent map, so they tell where growth really points, and the angles between them whether the
dynamics is hyperbolic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from neurosparse.errors import InputError
from neurosparse.lyapunov.driver import Run
from neurosparse.lyapunov.result import Spectrum
from neurosparse.lyapunov.statistics import correlated_mean
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CovariantVectors:
    """Samples of covariant vectors along a trajectory.

    Attributes
    ----------
    vectors
        [m, N, k], unit columns, at the beginning of each of m successive blocks; signs are free.
    logs
        [m, k] log growth of each vector over the block that follows.
    block_time
        Time of a block.
    """

    vectors: Array
    logs: Array
    block_time: float

    @property
    def exponents(self) -> Array:
        """Mean growth rates [k]: the Lyapunov exponents again, each on its own vector."""
        found: Array = self.logs.mean(axis=0) / self.block_time
        return found

    @property
    def stderr(self) -> Array:
        """Standard errors [k] of ``exponents``."""
        return correlated_mean(self.logs / self.block_time).stderr

    @property
    def angles(self) -> Array:
        """Acute angles [m, k, k] between vectors, radians."""
        overlap = np.einsum("mni,mnj->mij", self.vectors, self.vectors)
        found: Array = np.arccos(np.clip(np.abs(overlap), 0.0, 1.0))
        return found

    def splitting(self, index: int) -> Array:
        """Smallest angle [m] between the span of the first ``index`` vectors and of the others.

        Raises
        ------
        InputError
            ``index`` leaves one of the two empty.
        """
        k = self.vectors.shape[2]
        if not 1 <= index < k:
            raise InputError("splitting", found=f"index={index!r}", expected=f"1 <= index < {k}")
        angles = np.empty(len(self.vectors))
        for m, vectors in enumerate(self.vectors):
            first = np.linalg.qr(vectors[:, :index])[0]
            second = np.linalg.qr(vectors[:, index:])[0]
            cosine = np.linalg.svd(first.T @ second, compute_uv=False)[0]
            angles[m] = np.arccos(min(1.0, cosine))
        return angles

    def write(self, group: Any) -> None:
        """Write into an HDF5 group."""
        group["vectors"], group["logs"] = self.vectors, self.logs
        group.attrs["block_time"] = self.block_time

    @classmethod
    def read(cls, group: Any) -> CovariantVectors:
        """Read what :meth:`write` wrote."""
        return cls(group["vectors"][:], group["logs"][:], float(group.attrs["block_time"]))


def covariant_vectors(
    system: Any,
    k: int | None = None,
    *,
    samples: int = 200,
    backward: int | None = None,
    progress: Progress = silent,
    **options: Any,
) -> CovariantVectors:
    """Covariant vectors of any system that has a propagator.

    Parameters
    ----------
    system, k
        As for :func:`spectrum`.
    samples
        Blocks (QR intervals) to sample, one after the other.
    backward
        Blocks behind the samples over which the backward pass forgets its random start (default:
        as many as the samples, at least 50).
    progress
        Called as ``progress(label, done, total)`` in blocks.
    **options
        Options of :func:`spectrum`. Its run (``duration``) comes first and settles the frame.

    Returns
    -------
    CovariantVectors
        The forward pass holds ``samples * N * k + (samples + backward) * k**2`` doubles.

    Raises
    ------
    InputError
        A count is not positive, a direction has collapsed, or the run diverged.

    References
    ----------
    Ginelli, Poggi, Turchi, Chaté, Livi & Politi, Phys. Rev. Lett. 99, 130601 (2007).
    """
    from neurosparse.lyapunov.spectrum import spectrum

    before = spectrum(system, k, progress=progress, **options)
    return follow(before, system, samples=samples, backward=backward, progress=progress)


def follow(
    before: Spectrum,
    system: Any,
    *,
    samples: int = 200,
    backward: int | None = None,
    progress: Progress = silent,
) -> CovariantVectors:
    """Covariant vectors on the stretch that follows a spectrum."""
    backward = max(50, samples) if backward is None else backward
    if samples < 1 or backward < 0:
        raise InputError(
            "covariant vectors",
            found=f"samples={samples!r}, backward={backward!r}",
            expected="samples >= 1 and backward >= 0",
        )
    run = before.resume(system)
    k = run.frame.shape[1]
    frames, factors = [], []
    for block in range(samples + backward):
        if block < samples:
            frames.append(run.frame.copy())
        factors.append(_forward(run, block))
        progress("covariant vectors", block + 1, samples + backward)
    # Any upper triangular start turns into the covariant coefficients, backward in time.
    coefficients = np.triu(np.random.default_rng(0).standard_normal((k, k)))
    coefficients /= np.linalg.norm(coefficients, axis=0)
    logs, vectors = np.empty((samples, k)), np.empty((samples, *run.frame.shape))
    for block in range(samples + backward - 1, -1, -1):
        coefficients = solve_triangular(factors[block], coefficients, check_finite=False)
        lengths = np.linalg.norm(coefficients, axis=0)
        coefficients /= lengths
        if block < samples:
            logs[block] = -np.log(lengths)
            vectors[block] = frames[block] @ coefficients
    return CovariantVectors(vectors, logs, run.qr_steps * run.propagator.unit)


def _forward(run: Run, block: int) -> Array:
    logs, factor = run.factor(run.qr_steps)
    if run.diverged or run.ended or not np.isfinite(logs).all():
        why = "diverged" if run.diverged else "ended" if run.ended else "lost a direction"
        raise InputError(
            "covariant vectors",
            found=f"a run that {why} in block {block}",
            expected="a bounded, invertible and long enough product",
            mend="Ask for fewer exponents, or fewer samples.",
        )
    return factor
