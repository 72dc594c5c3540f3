"""Jacobians of norms and softmax, steepest slopes (rows 50-52)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import erf, expit

from neurosparse.errors import InputError
from neurosparse.meanfield.random_matrices import (
    max_slope,
    norm_jacobian,
    norm_singular_values,
    softmax_bound,
    softmax_jacobian,
)

Array = NDArray[np.float64]
STATE = arrays(np.float64, st.integers(3, 12), elements=st.floats(-5, 5).map(lambda v: v + 0.1))


def differences(function: Callable[[Array], Array], x: Array) -> Array:
    step = 1e-6
    columns = [(function(x + step * e) - function(x - step * e)) / (2 * step)
               for e in np.eye(x.size)]
    return np.array(columns).T


@pytest.mark.parametrize("d", [2, 3, 17, 64])
def test_singular_values_of_norms(d: int) -> None:  # row 50
    x = np.random.default_rng(d).normal(size=d) + 0.7
    rms, std = math.sqrt(np.mean(x**2)), x.std()
    values = np.linalg.svd(norm_jacobian(x, "rms"), compute_uv=False)
    assert np.allclose(values, [1 / rms] * (d - 1) + [0], atol=1e-9)
    assert np.allclose(values, norm_singular_values(x, "rms"), atol=1e-9)
    values = np.linalg.svd(norm_jacobian(x, "layer"), compute_uv=False)
    assert np.allclose(values, [1 / std] * (d - 2) + [0, 0], atol=1e-9)
    assert np.allclose(values, norm_singular_values(x, "layer"), atol=1e-9)


@given(STATE, st.sampled_from(["rms", "layer"]), st.floats(1e-3, 2))
def test_norm_jacobian_is_the_derivative_and_its_values_follow(x: Array, kind: str, eps: float
                                                               ) -> None:
    gain = np.linspace(0.5, 2, x.size)

    def forward(x: Array) -> Array:
        centred = x - x.mean() if kind == "layer" else x
        return gain * centred / np.sqrt(np.mean(centred**2) + eps)

    jacobian = norm_jacobian(x, kind, gain=gain, eps=eps)  # type: ignore[arg-type]
    assert np.allclose(jacobian, differences(forward, x), atol=2e-6 / eps)
    values = norm_singular_values(x, kind, eps=eps)  # type: ignore[arg-type]
    unit = norm_jacobian(x, kind, eps=eps)  # type: ignore[arg-type]
    assert np.allclose(np.linalg.svd(unit, compute_uv=False), values, atol=1e-9 / eps)
    assert np.linalg.norm(jacobian, 2) <= gain.max() * values[0] * (1 + 1e-12)


def test_softmax_norm_is_at_most_one_half_and_reaches_it() -> None:  # row 51
    assert softmax_bound() == 0.5
    assert np.linalg.norm(softmax_jacobian([0.3, 0.3]), 2) == pytest.approx(0.5, abs=1e-15)
    far = softmax_jacobian([0.0, 0.0, -np.inf, -800.0])
    assert np.linalg.norm(far, 2) == pytest.approx(0.5, abs=1e-15)


@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(-30, 30)), st.floats(0.2, 5))
def test_softmax_bounds_hold_and_the_jacobian_is_the_derivative(z: Array, temperature: float
                                                               ) -> None:  # row 51
    jacobian = softmax_jacobian(z, temperature=temperature)

    def forward(z: Array) -> Array:
        weights = np.exp((z - z.max()) / temperature)
        return weights / weights.sum()

    assert np.allclose(jacobian, differences(forward, z), atol=1e-7)
    assert np.allclose(jacobian.sum(0), 0, atol=1e-12) and np.array_equal(jacobian, jacobian.T)
    norm = np.linalg.norm(jacobian, 2)
    here = softmax_bound(z, temperature=temperature)
    assert norm <= here * (1 + 1e-12) + 1e-15
    assert here <= softmax_bound(temperature=temperature) * (1 + 1e-12)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh, "erf": erf, "sigmoid": expit, "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0), "silu": lambda x: x * expit(x),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi)
                                                  * (x + 0.044715 * x**3))),
}


def test_steepest_slopes_of_the_table() -> None:  # row 52
    slope, at = max_slope("gelu")
    assert slope == pytest.approx(1.128904145, abs=1e-9) and at == math.sqrt(2)
    slope, at = max_slope("silu")
    assert slope == pytest.approx(1.099839320, abs=1e-9) and at == pytest.approx(2.39936, abs=5e-6)
    assert max_slope("tanh") == (1.0, 0.0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_slope_is_steeper_and_one_is_as_steep(name: str) -> None:  # row 52
    slope, at = max_slope(name)
    x, step = np.linspace(-8, 8, 16001), 1e-5
    function = FUNCTIONS[name]
    measured = np.abs(function(x + step) - function(x - step)) / (2 * step)
    assert slope - 1e-6 < measured.max() < slope + 1e-9
    there = np.array([at])
    assert (function(there + step) - function(there - step)) / (2 * step) == pytest.approx(
        slope, abs=1e-8)


@pytest.mark.parametrize("call", [
    lambda: norm_jacobian([1, 2], "batch"),  # type: ignore[arg-type]
    lambda: norm_jacobian([[1, 2]], "rms"), lambda: norm_singular_values([1, np.nan], "rms"),
    lambda: norm_singular_values([3, 3], "layer"), lambda: norm_jacobian([1, 2], "rms", eps=-1),
    lambda: softmax_jacobian([]), lambda: softmax_jacobian([1, np.nan]),
    lambda: softmax_bound([1, 2], temperature=0), lambda: softmax_bound([np.inf, 0]),
    lambda: max_slope("swish2"),
])
def test_refusals(call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="found"):
        call()
