"""Memory of a spectrum: at most 3 N k + N^2 doubles, J included."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.lyapunov import spectrum


@pytest.mark.parametrize("n, k", [(400, 400), (800, 200), (1000, 100)])
@pytest.mark.parametrize("orthogonalise", ["cholesky", "householder"])
def test_memory_of_a_spectrum(n, k, orthogonalise):
    J = gaussian_couplings(n, 3.0, seed=0)
    spectrum(Flow(np.zeros((99, 99))), k=1, duration=1, transient=0)  # imports
    tracemalloc.start()
    found = spectrum(Flow(J), k=k, duration=1.0, transient=0.2, warmup=1.0, dt=0.1,
                     orthogonalise=orthogonalise)
    peak = tracemalloc.get_traced_memory()[1] + J.nbytes  # J was there before
    tracemalloc.stop()
    assert found.exponents.shape == (k,)
    assert peak <= 8 * (3 * n * k + n * n) + 2**19
