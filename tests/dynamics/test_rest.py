"""The rest state x = 0 of large networks against random-matrix laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.dynamics import Flow, gaussian_couplings, simulate


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_trace_is_minus_n_without_diagonal(seed: int) -> None:  # row 18
    flow = Flow(gaussian_couplings(30, 2.0, seed=seed))
    x = np.random.default_rng(seed).standard_normal(30)
    assert flow.linearise(x).trace() == -30


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_onset_of_instability(eta: float) -> None:  # row 24
    critical = 1 / (1 + eta)
    for g, sign in ((0.85 * critical, -1), (1.15 * critical, 1)):
        flow = Flow(gaussian_couplings(400, g, symmetry=eta, seed=1))
        top = np.linalg.eigvals(flow.jacobian(np.zeros(400))).real.max()
        assert np.sign(top) == sign
        assert top == pytest.approx(g * (1 + eta) - 1, abs=0.06)


@pytest.mark.parametrize(("g", "edges"), [(0.3, (0.361, 2.087)), (0.5, (0.1362, 3.098)),
                                          (0.7, (0.0304, 4.360)), (0.9, (0.0012, 5.885))])
def test_regulated_edges(g: float, edges: tuple[float, float]) -> None:  # papers.md (f)3
    values = -np.linalg.eigvalsh(Flow(gaussian_couplings(500, g, seed=6), 1.0).jacobian(
        np.zeros(500)))
    assert values.min() == pytest.approx(edges[0], abs=0.012)
    assert values.max() == pytest.approx(edges[1], rel=0.03)


def test_late_decay_of_the_regulated_flow_is_its_smallest_squared_singular_value() -> None:
    # papers.md (f)3, by the run itself
    J = gaussian_couplings(100, 0.5, seed=3)
    rate = np.linalg.svd(np.eye(100) - J)[1][-1] ** 2
    run = simulate(Flow(J, 1.0), duration=200.0, transient=150.0, record_every=50.0,
                   dt=0.05)
    size = np.linalg.norm(run.states, axis=1)
    assert np.log(size[0] / size[-1]) / 50.0 == pytest.approx(rate, rel=1e-2)
