"""Numbers at the ends of float64 and inputs that are no numbers: refused, or still bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurosparse import propagation as prop
from neurosparse.errors import InputError
from neurosparse.propagation import Layer

NAN = float("nan")
LINEAR = [Layer(np.eye(2), np.diag([1.0, 0.0]))]


@pytest.mark.parametrize("bound", [prop.data_bound, prop.chain_bounds, prop.errors, prop.states,
                                   lambda layers, x: prop.mask_variance(np.eye(2), 0.5, x)])
@pytest.mark.parametrize("x", [[NAN, 1.0], [np.inf, 1.0], ["a", "b"], [[1.0], [1.0, 2.0]], None,
                               [1.0]])
def test_inputs_that_are_no_numbers(bound: Callable[..., Any], x: Any) -> None:
    with pytest.raises(InputError, match="an input"):
        bound(LINEAR, x)


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_nan_reaches_no_factorisation(activation: str) -> None:
    with pytest.raises(InputError, match="not finite"):
        prop.data_bound([Layer(np.eye(2), np.diag([1.0, 0.0]), activation)], [NAN, 1.0])


def test_states_that_overflow_are_refused() -> None:
    large = [Layer(1e200 * np.eye(1), np.eye(1))] * 2
    with np.errstate(all="ignore"), pytest.raises(InputError, match="too large"):
        prop.errors(large, [1.0])


@pytest.mark.parametrize("call", [
    lambda: prop.mask_error([["a"]], 0.5), lambda: prop.mask_error([[1.0], [1.0, 2.0]], 0.5),
    lambda: prop.mask_error([[1.0]], None),  # type: ignore[arg-type]
    lambda: prop.chain_error([[[1.0], [1.0, 2.0]]], [[[1.0], [1.0, 2.0]]]),
    lambda: prop.chain_error([np.eye(2) * 1j], [np.eye(2)]),
    lambda: prop.norm_bound(["a"], [1.0]),
    lambda: prop.ball_bound(LINEAR, None),  # type: ignore[arg-type]
    lambda: prop.ErrorModel(np.zeros(2), 2.0, np.zeros(2)).rates(NAN),
    lambda: prop.predicted_step(None, "x"),  # type: ignore[arg-type]
    lambda: prop.norm_bound(None, [1.0]),  # type: ignore[arg-type]
    lambda: prop.slope_between("tanh", ["a"], [1.0]),
    lambda: prop.theorem_35(["a"], 1.0, lambda s: s),
    lambda: prop.fit_errors(["a", "b"], [[1.0, 2.0]]),
    lambda: prop.fit_errors([0.1, 0.2], [[1.0, 2.0]], [np.inf])])
def test_tables_that_are_none(call: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+: found [^\n]+; expected [^\n]+$"):
        call()


def test_nothing_passes_a_constant_of_zero() -> None:
    with np.errstate(over="ignore"):
        found = prop.norm_bound([1e308, 1e308, 0.0], [1e10, 1.0, 1.0])
    assert found.tolist() == [1e10, np.inf, 1.0]


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e-300, 1.0])
def test_rmsnorm_at_any_size(size: float) -> None:
    """Between x and 2x the least rms is that of x = (size, size): size itself."""
    found = prop.rmsnorm_constant([size, size], [2 * size, 2 * size], gain=[1.0, 0.5])
    # Seldom divisible: up to the margin for rounding, and never below.
    assert 1 <= found * size <= 1 + 1e-12


@pytest.mark.parametrize("wrong", [{"one": [NAN, 1.0]}, {"other": [1.0, np.inf]}, {"eps": NAN},
                                   {"gain": [1.0, 2.0, 3.0]}, {"gain": []}, {"gain": NAN},
                                   {"one": [[1.0, 1.0]]}, {"one": "ab"}])
def test_rmsnorm_refuses(wrong: dict[str, Any]) -> None:
    given = {"one": [1.0, 1.0], "other": [1.0, 2.0]} | wrong
    with pytest.raises(InputError, match="rmsnorm_constant"):
        prop.rmsnorm_constant(given.pop("one"), given.pop("other"), **given)


def test_the_best_step_where_weights_overflow() -> None:
    """c^2000 leaves float64; the formula in the logarithm of the weights does not."""
    layers, rate, c = 2000, 0.5, 1.5
    with np.errstate(over="ignore"):
        found = prop.best_square_step(layers, rate, c)
    # w_i = (c^(L-i+1) - 1) / (c - 1): a geometric series up to a constant that vanishes.
    d = np.arange(layers) - (layers - 1) / 2
    w = c ** -np.arange(layers, dtype=float)
    bound = 2 * rate / (layers - 1)
    assert found == pytest.approx(np.clip(-rate * (w @ d) / (w @ d**2), -bound, bound), rel=1e-9)


def test_a_sum_of_squares_is_never_below_zero() -> None:
    """The second layer undoes the first: the error is nothing, and rounding left less."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = rng.normal(size=2)
        found = prop.chain_error([[[a]], [[b]]], [[[0.37 * a]], [[b / 0.37]]])
        assert np.all(found.error >= 0) and found.error[1] < 1e-12
        assert np.all(prop.masked_chain_error([[[a]], [[b]]], [1.0, 1.0]) >= 0)
