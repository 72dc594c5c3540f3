"""Implicit methods (SciPy): for γ near 1 at large gain, where the fastest mode is far from rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.adaptive import run_scipy
from neurosparse.dynamics.clock import Clock
from neurosparse.errors import InputError

Array = NDArray[np.float64]

#: name in ``simulate`` -> class in ``scipy.integrate``
IMPLICIT = {"stiff": "LSODA", "lsoda": "LSODA", "bdf": "BDF", "radau": "Radau"}

# the solvers factor a dense N x N matrix
_LARGEST = 4096


def run_stiff(flow: Any, x: Array, clock: Clock, limit: float, solver: str,
              tolerance: float) -> Iterator[tuple[float, Array]]:
    """Yield (time, state) at each record, with the flow's exact Jacobian.

    Raises
    ------
    InputError
        Several states at once, more than 4096 neurons, or a gain without second derivative at
        γ ≠ 0.
    """
    if x.ndim != 1 or x.size > _LARGEST:
        raise InputError("simulate", found=f"a stiff method for states of shape {list(x.shape)}",
                         expected=f"one state of at most {_LARGEST} neurons",
                         mend="The method factors the Jacobian; use 'adaptive' or 'rk4'.")
    # seen before the solver hides it
    flow.linearise(x)
    return run_scipy(flow, x, clock, limit, solver, tolerance, jacobian=True)
