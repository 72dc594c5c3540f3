"""Bounds against the errors themselves, constants against their analytic values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.propagation import (
    ACTIVATIONS,
    Layer,
    activation_constant,
    ball_bound,
    chain_bounds,
    chain_error,
    data_bound,
    errors,
    norm_bound,
    rmsnorm_constant,
    slope_between,
)

seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(ACTIVATIONS))


def network(seed: int, *, linear: bool = False, tall: bool = False
            ) -> tuple[list[Layer], np.ndarray]:
    rng = np.random.default_rng(seed)
    layers, width = [], int(rng.integers(1, 6))
    start = width
    for _ in range(int(rng.integers(1, 6))):
        rows = width + int(rng.integers(0, 3)) if tall else int(rng.integers(1, 7))
        w = rng.normal(size=(rows, width)) * 10 ** rng.uniform(-1, 1)
        name = "linear" if linear else str(rng.choice(sorted(ACTIVATIONS)))
        layers.append(Layer(w, w * (rng.random(w.shape) > 0.4), name,
                            bool(rows == width and rng.random() < 0.5)))
        width = rows
    return layers, rng.normal(size=start) * 10 ** rng.uniform(-2, 2)


@given(seeds)
@settings(max_examples=200, deadline=None)
def test_errors_are_below_the_data_bound_and_that_below_the_ball_bound(seed: int) -> None:
    layers, x = network(seed)
    found, data = errors(layers, x), data_bound(layers, x)
    ball = ball_bound(layers, float(np.linalg.norm(x)))
    # The errors are differences of states, so they are known to the rounding of those.
    slack = 1e-12 * (1 + ball)
    assert np.all(found <= data + slack)
    assert np.all(data <= ball + slack)


@given(seeds, st.booleans())
@settings(max_examples=150, deadline=None)
def test_linear_chains_lie_between_their_bounds(seed: int, tall: bool) -> None:
    layers, x = network(seed, linear=True, tall=tall)
    low, high = chain_bounds(layers, x)
    found = errors(layers, x)
    slack = 1e-12 * (1 + ball_bound(layers, float(np.linalg.norm(x))))
    assert np.all(low - slack <= found)
    assert np.all(found <= high + slack)
    plain = [a.dense + np.eye(len(a.dense)) if a.residual else a.dense for a in layers]
    pruned = [a.sparse + np.eye(len(a.sparse)) if a.residual else a.sparse for a in layers]
    exact = chain_error(plain, pruned, np.outer(x, x)).error
    scale = float(ball_bound(layers, float(np.linalg.norm(x))).max())
    assert np.allclose(np.sqrt(exact.clip(0)), found, rtol=1e-5, atol=1e-6 * (1 + scale))


def test_lower_bound_is_attained_where_one_layer_errs() -> None:
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    first = rng.normal(size=(5, 5))
    layers = [Layer(first, np.zeros((5, 5))), Layer(2 * q, 2 * q)]
    x = rng.normal(size=5)
    low, high = chain_bounds(layers, x)
    assert np.allclose(low, high, rtol=1e-12)
    assert np.allclose(low, errors(layers, x), rtol=1e-12)
    assert low[1] == pytest.approx(2 * np.linalg.norm(first @ x), rel=1e-12)


def test_ball_bound_is_attained_by_the_steepest_direction() -> None:
    w = np.diag([3.0, 1.0])
    layers = [Layer(w, np.diag([0.0, 1.0])), Layer(w, w)]
    x = np.array([2.0, 0.0])
    assert np.allclose(ball_bound(layers, 2.0), errors(layers, x))


@given(names, st.floats(-8, 8), st.floats(-8, 8))
@settings(max_examples=300, deadline=None)
def test_slope_between_bounds_secant_and_every_slope_inside(name: str, a: float, b: float) -> None:
    known = ACTIVATIONS[name]
    slope = float(slope_between(name, a, b))
    values = known.value(np.array([a, b]))
    assert abs(values[1] - values[0]) <= slope * abs(b - a) + 1e-14
    inside = np.abs(known.slope(np.linspace(a, b, 101)))
    assert inside.max() <= slope + 1e-14
    assert slope <= activation_constant(name) + 1e-14


@given(names, st.floats(-6, 6))
@settings(deadline=None)
def test_slopes_are_the_derivatives(name: str, x: float) -> None:
    if name == "relu" and abs(x) < 1e-4:
        return
    known, h = ACTIVATIONS[name], 1e-5
    up, down = known.value(np.array([x + h, x - h]))
    assert (up - down) / (2 * h) == pytest.approx(float(known.slope(np.array(x))), abs=1e-8)


def test_constants_of_theory_md() -> None:
    assert activation_constant("tanh") == 1.0
    assert activation_constant("gelu") == pytest.approx(1.128904, abs=5e-7)
    assert activation_constant("silu") == pytest.approx(1.099839, abs=5e-7)
    assert activation_constant("softmax") == 0.5
    assert activation_constant("erf") == pytest.approx(2 / math.sqrt(math.pi))


@given(seeds, st.integers(1, 6))
@settings(deadline=None)
def test_rmsnorm_on_a_segment(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, gain = rng.normal(size=(3, width))
    eps = float(rng.choice([0.0, 1e-3]))

    def norm(x: np.ndarray) -> np.ndarray:
        return gain * x / np.sqrt(np.mean(x**2) + eps)

    constant = rmsnorm_constant(a, b, gain=gain, eps=eps) if width > 1 or a * b > 0 else None
    if constant is not None:
        assert np.linalg.norm(norm(b) - norm(a)) <= constant * np.linalg.norm(b - a) * (1 + 1e-9)


def test_rmsnorm_at_one_point_is_one_over_rms() -> None:
    assert rmsnorm_constant([3.0, 4.0], [3.0, 4.0]) == pytest.approx(1 / math.sqrt(12.5))
    with pytest.raises(InputError, match="origin"):
        rmsnorm_constant([1.0, 1.0], [-1.0, -1.0])


def test_norm_bound_is_the_sum_of_products() -> None:
    lip, own = np.array([2.0, 3.0, 0.5]), np.array([1.0, 0.25, 4.0])
    assert np.allclose(norm_bound(lip, own), [1.0, 3.25, 3.0 * 0.5 + 0.25 * 0.5 + 4.0])


def test_bad_input_is_named() -> None:
    square = np.eye(2)
    with pytest.raises(InputError, match="Lipschitz"):
        norm_bound([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="negative"):
        norm_bound([1.0], [-1.0])
    with pytest.raises(InputError, match="radius"):
        ball_bound([Layer(square, square)], -1.0)
    with pytest.raises(InputError, match="linear layers"):
        chain_bounds([Layer(square, square, "relu")], [1.0, 1.0])
    with pytest.raises(InputError, match="square"):
        Layer(np.ones((2, 3)), np.ones((2, 3)), residual=True)
    with pytest.raises(InputError, match="one of"):
        Layer(square, square, "swish9")
    with pytest.raises(InputError, match="at least one"):
        errors([], [1.0])
    with pytest.raises(InputError, match="input of shape"):
        errors([Layer(square, square)], [1.0])
