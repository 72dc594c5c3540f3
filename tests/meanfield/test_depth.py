"""Deep networks at large width: fixed points, critical lines, depth scales (rows 27-30)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.dynamics.gains import gain, threshold_power
from neurosparse.errors import InputError
from neurosparse.meanfield.depth import (
    Block,
    critical_line,
    depth_fixed_point,
    depth_scale,
    moments,
)

VARIANCE = st.floats(0.01, 30)
CORRELATION = st.floats(-0.999, 0.999)


@pytest.mark.parametrize(("bias", "weight", "variance"), [
    (0, 1, 0), (0.01, 1.424205, 0.273301), (0.05, 1.760955, 0.570048),
    (0.1, 1.986073, 0.805799), (0.3, 2.505127, 1.461169),
])
def test_critical_line_of_tanh(bias: float, weight: float, variance: float) -> None:  # row 27
    line = critical_line(bias)
    assert line.weight_variance == pytest.approx(weight, abs=1e-6)
    assert line.variance == pytest.approx(variance, abs=1e-6)


@pytest.mark.parametrize(("weight", "bias", "expected"), [
    (1.69, 0.09, (0.607047, 0.939807, 1, 16.1082, 1.3377)),
    (6.25, 0.09, (4.079124, 1.585225, 0.122104, 5.1089, 0.6883)),
    (4, 0.05, (2.195494, 1.342402, 0.165065, 6.9803, 0.8733)),
])
def test_fixed_points_of_tanh(weight: float, bias: float, expected: tuple[float, ...]) -> None:
    # row 28
    found = depth_fixed_point(Block(weight, bias))
    assert found.status == "stable"
    values = (found.variance, found.chi_1, found.correlation, found.correlation_depth,
              found.variance_depth)
    assert values == pytest.approx(expected, abs=1e-4)
    assert found.exponent == pytest.approx(0.5 * math.log(found.chi_1), abs=1e-14)


def test_relu_is_critical_at_two_and_nowhere_else() -> None:  # row 29
    line = critical_line(0.0, "relu")
    assert line.weight_variance == 2 and np.isnan(line.variance)
    with pytest.raises(InputError, match="zero bias only"):
        critical_line(0.05, "relu")
    marginal = depth_fixed_point(Block(2.0, phi="relu"), start=3.7)
    assert marginal.status == "marginal" and marginal.variance == 3.7 and marginal.chi_1 == 1
    assert math.isinf(marginal.correlation_depth) and math.isinf(marginal.variance_depth)
    stable = depth_fixed_point(Block(1.5, 0.1, "relu"))
    assert stable.variance == pytest.approx(0.1 / (1 - 0.75), rel=1e-12)
    assert (stable.chi_1, stable.correlation) == (0.75, 1)
    lost = depth_fixed_point(Block(2.5, 0.1, "relu"))
    assert lost.status == "unbounded" and math.isinf(lost.variance) and lost.chi_1 == 1.25


def test_critical_line_of_erf() -> None:  # row 30
    line = critical_line([0.0, 0.05], "erf")
    assert line.weight_variance == pytest.approx([math.pi / 4, 1.375839], abs=1e-6)
    assert line.variance == pytest.approx([0, 0.517177], abs=1e-6)
    q = line.variance[1]
    assert line.weight_variance[1] == pytest.approx(math.pi / 4 * math.sqrt(1 + 4 * q), rel=1e-12)


@given(VARIANCE, CORRELATION, st.sampled_from(["erf", "relu", "linear"]))
@settings(max_examples=30, deadline=None)
def test_closed_forms_are_the_averages(q: float, c: float, phi: str) -> None:  # row 30
    closed, open_ = moments(phi), moments(phi, closed=False)
    assert closed.second(q) == pytest.approx(open_.second(q), rel=1e-9)
    assert closed.slope(q) == pytest.approx(open_.slope(q), rel=1e-9)
    assert closed.growth(q) == pytest.approx(open_.growth(q), rel=1e-9)
    size = closed.second(q)
    assert closed.product(q, c) == pytest.approx(open_.product(q, c), abs=1e-7 * size)
    assert closed.slope_product(q, c) == pytest.approx(open_.slope_product(q, c), abs=1e-6)


@given(VARIANCE, CORRELATION, st.sampled_from(["tanh", "erf", "relu", "linear"]))
@settings(max_examples=30, deadline=None)
def test_products_start_at_the_square_of_the_mean_and_have_their_slope(q: float, c: float, phi: str
                                                                       ) -> None:
    means, step = moments(phi), 1e-5
    difference = means.product(q, c + step / 2) - means.product(q, c - step / 2)
    # d<φφ>/d(qc) = <φ'φ'>; near |c| = 1 the third derivative is large for a kink.
    assert difference / (q * step) == pytest.approx(means.slope_product(q, c), rel=2e-3)
    step = 1e-4 * q
    growth = (means.second(q + step) - means.second(q - step)) / (2 * step)
    assert growth == pytest.approx(means.growth(q), rel=1e-5)
    assert means.product(q, 1.0) == pytest.approx(means.second(q), rel=1e-9)
    assert abs(means.product(q, c)) <= means.second(q) * (1 + 1e-9)


@pytest.mark.parametrize("phi", ["tanh", "erf"])
def test_series_for_small_variance(phi: str) -> None:
    # tanh: <φ²> = q - 2q² + O(q³); erf: 4/π (q - 2q² + ...).
    means, q = moments(phi), 1e-4
    scale = 1.0 if phi == "tanh" else 4 / math.pi
    assert means.second(q) == pytest.approx(scale * (q - 2 * q * q), rel=1e-6)
    assert means.growth(0.0) == pytest.approx(scale, rel=1e-12)


def test_gains_of_the_user_and_with_a_threshold() -> None:
    own = gain((np.sin, np.cos))
    q = 0.8
    # <sin²> = (1 - exp(-2q))/2, <cos²> = (1 + exp(-2q))/2, <sin u sin w> = e^-q sinh(qc).
    means = moments(own)
    assert means.second(q) == pytest.approx((1 - math.exp(-2 * q)) / 2, rel=1e-10)
    assert means.slope(q) == pytest.approx((1 + math.exp(-2 * q)) / 2, rel=1e-10)
    assert means.growth(q) == pytest.approx(math.exp(-2 * q), rel=1e-10)
    assert means.product(q, 0.3) == pytest.approx(math.exp(-q) * math.sinh(0.3 * q), rel=1e-8)
    assert depth_fixed_point(Block(2.0, 0.1, (np.sin, np.cos))).status == "stable"
    square = moments(threshold_power(2.0, 0.0))
    # Half of <u⁴> = 3q², half of <4u²> = 4q.
    assert square.second(q) == pytest.approx(1.5 * q * q, rel=1e-10)
    assert square.slope(q) == pytest.approx(2 * q, rel=1e-10)


@given(st.floats(0.3, 12), st.floats(1e-4, 1), st.sampled_from(["tanh", "erf"]))
@settings(max_examples=25, deadline=None)
def test_fixed_points_are_fixed_and_attract(weight: float, bias: float, phi: str) -> None:
    block = Block(weight, bias, phi)
    found = depth_fixed_point(block)
    q, c = found.variance, found.correlation
    assert block.variance_map(q) == pytest.approx(q, rel=1e-10)
    assert block.correlation_map(c, q) == pytest.approx(c, abs=1e-8)
    assert 0 < q < weight + bias + 1e-12 and 0 <= c <= 1
    # Ordered: all inputs end alike. Chaotic: they do not.
    assert (c < 1) == (found.chi_1 > 1 + 1e-12)
    assert abs(block.variance_slope(q)) < 1 and block.correlation_slope(c, q) <= 1 + 1e-12
    for start in (1e-3, 50.0):
        assert depth_fixed_point(block, start=start).variance == pytest.approx(q, rel=1e-9)


@given(st.floats(1e-4, 2), st.sampled_from(["tanh", "erf"]))
@settings(max_examples=15, deadline=None)
def test_on_the_critical_line_errors_neither_grow_nor_die(bias: float, phi: str) -> None:
    line = critical_line(bias, phi)
    weight = float(line.weight_variance)
    found = depth_fixed_point(Block(weight, bias, phi))
    assert found.variance == pytest.approx(float(line.variance), rel=1e-8)
    assert found.chi_1 == pytest.approx(1, abs=1e-9)
    assert found.correlation == pytest.approx(1, abs=1e-3)
    assert depth_fixed_point(Block(0.98 * weight, bias, phi)).chi_1 < 1
    assert depth_fixed_point(Block(1.02 * weight, bias, phi)).chi_1 > 1


def test_signals_die_without_bias_below_the_line() -> None:
    found = depth_fixed_point(Block(0.9))
    assert found.variance == 0 and found.chi_1 == 0.9 and math.isnan(found.correlation)
    assert found.variance_depth == pytest.approx(-1 / math.log(0.9), rel=1e-12)
    edge = depth_fixed_point(Block(1.0))
    assert edge.status == "marginal" and edge.variance == 0 and math.isinf(edge.variance_depth)
    # q* = (σ_w² - 1)/2 just above: <φ²> = q - 2q².
    just_above = depth_fixed_point(Block(1.0001))
    assert just_above.variance == pytest.approx(5e-5, rel=1e-3)


def test_depth_scale() -> None:
    assert depth_scale(math.exp(-0.25)) == pytest.approx(4, rel=1e-14)
    assert depth_scale(-math.exp(-0.25)) == pytest.approx(4, rel=1e-14)
    assert depth_scale(0.0) == 0 and math.isinf(depth_scale(1.0))


@pytest.mark.parametrize("kwargs", [
    {"weight_variance": -1}, {"weight_variance": math.nan},
    {"weight_variance": 1, "bias_variance": -0.1}, {"weight_variance": 1, "norm": "batch"},
    {"weight_variance": 1, "norm_scale": 0}, {"weight_variance": 1, "phi": "swish"},
    {"weight_variance": 1, "skip": math.inf},
])
def test_blocks_refuse(kwargs: dict[str, object]) -> None:
    with pytest.raises(InputError, match="found"):
        Block(**kwargs)  # type: ignore[arg-type]


def test_other_refusals() -> None:
    for start in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="start"):
            depth_fixed_point(Block(1.0), start=start)
    with pytest.raises(InputError, match="bias"):
        critical_line([0.1, -0.1])
