"""FORCE learning: the loop's force, a signal that is learned, and its refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.dynamics.tasks import force_learning
from neurosparse.dynamics.tasks.force import closed_loop
from neurosparse.errors import InputError


@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
def test_inside_the_energy_is_the_flow_of_the_closed_couplings(gamma: float) -> None:
    rng = np.random.default_rng(0)
    J, w, w_f = gaussian_couplings(12, 1.5, seed=1), rng.normal(size=12), rng.normal(size=12)
    x = rng.normal(size=12)
    whole = Flow(J + np.outer(w_f, w), gamma)
    np.testing.assert_allclose(
        closed_loop(Flow(J, gamma), w, w_f, True)(x, 0.0), whole.drift(x), rtol=1e-12, atol=1e-13
    )
    outside = closed_loop(Flow(J, gamma), w, w_f, False)(x, 0.0) - Flow(J, gamma).drift(x)
    np.testing.assert_allclose(outside, w_f * (w @ np.tanh(x)), rtol=1e-10, atol=1e-12)


def test_a_chaotic_network_learns_a_signal() -> None:
    flow = Flow(gaussian_couplings(120, 1.5, seed=3))
    result = force_learning(flow, period=20.0, train=300.0, test=40.0, seed=1)
    assert result.status == "finished"
    assert result.train_score > 0.99
    assert result.test_score > 0.8
    # the weights were held: a readout of the test by them is the output itself
    assert result.trained_steps == 3000 and result.output.size == 3400
    early = np.mean((result.output[:300] - result.target[:300]) ** 2)
    late = np.mean((result.output[2700:3000] - result.target[2700:3000]) ** 2)
    assert late < 0.1 * early + 1e-3


def test_without_learning_nothing_is_produced() -> None:
    flow = Flow(gaussian_couplings(40, 0.5, seed=2))
    result = force_learning(flow, period=10.0, train=20.0, test=20.0, alpha=1e12)
    assert abs(result.test_score) < 0.01 and result.change < 1e-6


@pytest.mark.parametrize(("inside", "least", "most"), [(False, 0.95, 1.0), (True, -0.05, 0.05)])
def test_a_gradient_flow_cannot_oscillate(inside: bool, least: float, most: float) -> None:
    """γ = 1 with the loop inside its energy: an autonomous gradient flow has no periodic orbit.

    With the loop outside the frozen network learns as the chaotic one does.
    """
    flow = Flow(gaussian_couplings(150, 1.5, seed=4), 1.0)
    result = force_learning(flow, period=20.0, train=300.0, test=40.0, feedback_inside=inside)
    assert result.status == "finished"
    assert least < result.train_score <= most
    assert least < result.test_score <= most


def test_divergence_is_a_status() -> None:
    result = force_learning(Flow(3.0 * np.eye(3), phi="linear"), train=20.0, test=5.0, dt=0.1)
    assert result.status == "diverged" and np.isnan(result.test_score)


def test_the_shortest_run_that_is_taken_has_scores() -> None:
    flow = Flow(gaussian_couplings(10, 1.5, seed=1))
    result = force_learning(flow, train=1.0, test=0.2, dt=0.1)
    assert result.output.size == 12
    assert np.isfinite([result.train_score, result.test_score, result.change]).all()


@pytest.mark.parametrize(("arguments", "named"), [
    ({"train": 0.01}, r"train = 0\.01"), ({"train": 0.9, "dt": 0.1}, "9 and 10 steps"),
    ({"test": 0.01}, r"test = 0\.01"), ({"seed": -1}, "seed -1"),
    ({"period": 0.0}, "period"), ({"train": -1.0}, "train"), ({"test": 0.0}, "test"),
    ({"dt": 0.0}, "dt"), ({"every": 0}, "every"), ({"alpha": 0.0}, "alpha"),
    ({"feedback": -1.0}, "feedback"), ({"feedback": np.ones(3)}, "feedback"),
    ({"x0": np.ones(3)}, "x0"), ({"flow": Flow(np.zeros((2, 2)), drive=1.0)}, "drive"),
])
def test_bad_input_is_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        force_learning(**{"flow": Flow(np.zeros((4, 4))), "train": 1.0, "test": 1.0, **arguments})
