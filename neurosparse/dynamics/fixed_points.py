"""Fixed and slow points of a network, by minimising its kinetic energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import check_number, check_seed
from neurosparse.dynamics.critical import (
    DENSE_LIMIT,
    Kind,
    at_rest,
    descend,
    vanilla_spectrum,
)
from neurosparse.dynamics.flow import Flow
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]

_ORDER: dict[Kind, int] = {"fixed": 0, "minimum E>0": 1, "slow": 2}


@dataclass(frozen=True)
class FixedPoints:
    """Distinct points that the descents ended in: fixed ones first, then by energy.

    Attributes
    ----------
    states
        [P, N].
    energies
        E = |f|²/2 [P].
    kinds
        ``"fixed"``, ``"minimum E>0"`` or ``"slow"`` for each.
    hits
        How many starts ended there [P].
    spectra
        Eigenvalues of the vanilla Jacobian [P, N] by falling real part; [P, 0] where they were
        not computed.
    index
        Unstable directions under the vanilla flow [P]; -1 where not computed.
    """

    states: Array
    energies: Array
    kinds: tuple[Kind, ...]
    hits: NDArray[np.int64]
    spectra: NDArray[np.complex128]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def instability(self) -> Array:
        """Largest real part of each spectrum [P]; NaN where not computed."""
        if self.spectra.shape[1] == 0:
            return np.full(len(self), np.nan)
        return np.asarray(self.spectra.real.max(axis=1))

    def only(self, kind: Kind) -> FixedPoints:
        """The points of one kind."""
        keep = np.array([k == kind for k in self.kinds], dtype=bool)
        return FixedPoints(self.states[keep], self.energies[keep],
                           tuple(k for k in self.kinds if k == kind), self.hits[keep],
                           self.spectra[keep], self.index[keep])


def unstable_directions(spectra: NDArray[np.complex128]) -> NDArray[np.int64]:
    """Number of eigenvalues with a positive real part in each row; -1 for empty rows."""
    if spectra.shape[1] == 0:
        return np.full(spectra.shape[0], -1, dtype=np.int64)
    return np.asarray((spectra.real > 1e-9).sum(axis=1), dtype=np.int64)


def find_fixed_points(
    flow: Flow,
    *,
    starts: int = 16,
    from_states: Any = None,
    tolerance: float = 1e-9,
    scale: float = 1.0,
    distinct: float = 1e-5,
    spectra: bool | None = None,
    time: float = 0.0,
    seed: int = 0,
    progress: Progress = silent,
) -> FixedPoints:
    """Fixed points, minima with E > 0, and slow points (Sussillo and Barak 2013).

    The points are those of the vanilla flow, and every regulated flow shares the fixed ones: the
    Onsager force vanishes with f. What it adds are critical points of E with f in the kernel of
    (∂f)ᵀ, found here as ``"minimum E>0"``.

    Parameters
    ----------
    flow
        Any γ. A drive is held at ``time``.
    starts
        Number of starts x ~ N(0, scale²).
    from_states
        States [S, N] (a trajectory's, say) to start from instead.
    tolerance
        Largest |f_i| of a point called fixed.
    distinct
        Two points are one if no coordinate differs by more than this.
    spectra
        Whether to compute Jacobian spectra, O(N³) a point; None: up to N = 2048.
    seed
        Of the starts.
    progress
        Called with (label, starts done, starts in all).

    Returns
    -------
    FixedPoints

    Raises
    ------
    InputError
        Not a Flow, states of another shape, a number out of its range, or a drive outside the
        energy.
    """
    operation = "find_fixed_points"
    check_number(operation, "tolerance", tolerance, 1e-14, 1.0)
    check_number(operation, "scale", scale, 0.0, np.inf)
    seed = check_seed(operation, seed)
    rest = at_rest(flow, time, operation)
    begin = _starts(rest.size, starts, from_states, scale, seed)
    found: list[tuple[Array, Kind]] = []
    hits: list[int] = []
    for done, x in enumerate(begin, start=1):
        point, kind = descend(rest, x, tolerance)
        same = next((i for i, (other, _) in enumerate(found)
                     if np.abs(other - point).max() <= distinct), None)
        if same is None:
            found.append((point, kind))
            hits.append(1)
        else:
            hits[same] += 1
        progress("fixed points", done, len(begin))
    energies = np.array([rest.energy(point) for point, _ in found])
    order = sorted(range(len(found)), key=lambda i: (_ORDER[found[i][1]], energies[i]))
    states = np.array([found[i][0] for i in order])
    if spectra is None:
        spectra = rest.size <= DENSE_LIMIT
    values = (np.array([vanilla_spectrum(rest, x) for x in states]) if spectra
              else np.empty((len(order), 0), dtype=np.complex128))
    return FixedPoints(states, energies[order], tuple(found[i][1] for i in order),
                       np.array([hits[i] for i in order], dtype=np.int64), values,
                       unstable_directions(values))


def _starts(size: int, starts: int, from_states: Any, scale: float, seed: int) -> Array:
    if from_states is None:
        if isinstance(starts, bool) or not isinstance(starts, (int, np.integer)) or starts < 1:
            raise InputError("find_fixed_points", found=f"starts {starts!r}",
                             expected="a whole number >= 1")
        drawn: Array = np.random.default_rng([seed, 103]).standard_normal((int(starts), size))
        return scale * drawn
    given = np.atleast_2d(np.asarray(from_states, dtype=np.float64))
    if given.ndim != 2 or given.shape[1] != size or given.shape[0] == 0:
        raise InputError("find_fixed_points", found=f"from_states of shape {list(given.shape)}",
                         expected=f"[S, {size}]")
    if not np.isfinite(given).all():
        raise InputError("find_fixed_points", found="NaN or infinite entries in from_states",
                         expected="finite numbers")
    return given
