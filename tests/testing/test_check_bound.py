"""The checker passes bounds that hold, finds what is wrong with those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.propagation import Layer, ball_bound, chain_bounds, data_bound, errors
from neurosparse.testing import BoundViolated, check_bound, small_networks

LINEAR = small_networks(activations=("linear",), residual=False)


def ball(layers: list[Layer], x: np.ndarray) -> np.ndarray:
    return ball_bound(layers, float(np.linalg.norm(x)))


def test_our_bounds_pass_and_say_how_tight_they_are() -> None:
    data, norms = check_bound(data_bound, examples=80), check_bound(ball, examples=80)
    assert data.examples >= 60
    assert 0 < norms.median <= data.median <= 1
    assert data.best == pytest.approx(1.0)
    linear = small_networks(activations=("linear",))
    upper, lower = (
        check_bound(lambda a, x, i=i: chain_bounds(a, x)[i], side=side,  # type: ignore[misc,arg-type]
                    networks=linear, examples=60).best
        for i, side in ((1, "upper"), (0, "lower")))
    assert upper == pytest.approx(1.0)
    assert lower == pytest.approx(1.0)


def test_the_exact_error_is_both_bounds() -> None:
    for side in ("upper", "lower"):
        report = check_bound(errors, side=side, examples=30)  # type: ignore[arg-type]
        assert report.median == pytest.approx(1.0)
        assert check_bound(lambda a, x: errors(a, x)[-1], side=side, examples=30,  # type: ignore[arg-type]
                           seed=3).best == pytest.approx(1.0)


def test_a_bound_that_forgets_a_factor_is_found_and_shrunk() -> None:
    with pytest.raises(BoundViolated, match="at most the bound") as caught:
        check_bound(lambda a, x: 0.9 * ball(a, x))
    violated = caught.value
    # Shrunk: one layer and one weight that is not zero are enough.
    assert len(violated.layers) == 1
    assert np.count_nonzero(violated.layers[0].dense) == 1
    assert errors(violated.layers, violated.x)[0] > 0.9 * ball(violated.layers, violated.x)[0]


@pytest.mark.slow
def test_the_lemma_as_printed_is_refuted_by_a_wide_matrix() -> None:
    """ATP's Lemma 3.3 with the least of min(m, n) singular values, right only for tall ones."""

    def only_first_pruned(layers: list[Layer]) -> list[Layer]:
        return [layers[0], *(Layer(a.dense, a.dense) for a in layers[1:])]

    def printed(layers: list[Layer], x: np.ndarray) -> float:
        bound = float(np.linalg.norm((layers[0].sparse - layers[0].dense) @ x))
        return bound * float(np.prod([np.linalg.svd(a.sparse)[1][-1] for a in layers[1:]]))

    tall, wide = (small_networks(activations=("linear",), residual=False, tall=t, max_width=3)
                  .map(only_first_pruned) for t in (True, False))
    assert check_bound(printed, side="lower", networks=tall).best == pytest.approx(1.0)
    with pytest.raises(BoundViolated) as caught:
        check_bound(printed, side="lower", networks=wide)
    assert any(a.sparse.shape[0] < a.sparse.shape[1] for a in caught.value.layers[1:])


def test_bad_bounds_are_named() -> None:
    with pytest.raises(InputError, match="array of shape"):
        check_bound(lambda a, x: np.ones(len(a) + 1))
    with pytest.raises(InputError, match="nan"):
        check_bound(lambda a, x: float("nan"))
    with pytest.raises(InputError, match="'upper' or 'lower'"):
        check_bound(data_bound, side="both")  # type: ignore[arg-type]


def test_a_bound_that_fails_in_two_ways_gives_one_error() -> None:
    def both(layers: list[Layer], x: np.ndarray) -> np.ndarray:
        return data_bound(layers, x) * (np.nan if x.sum() > 0 else 0.5)

    with pytest.raises((BoundViolated, InputError)):
        check_bound(both)


def test_inside_a_test_of_hypothesis_that_says_so() -> None:
    seen: list[int] = []

    def check(number: int) -> None:
        seen.append(check_bound(data_bound, examples=3).examples)

    few = settings(max_examples=2, database=None, deadline=None,
                   suppress_health_check=[HealthCheck.nested_given])
    few(given(st.integers())(check))()
    assert seen and min(seen) > 0


def test_no_error_no_ratio() -> None:
    unpruned = LINEAR.map(lambda a: [Layer(b.dense, b.dense) for b in a])
    assert np.isnan(check_bound(ball, networks=unpruned, examples=20).best)
