"""Residual and normalised blocks, and signals followed through many (rows 31, 32)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neurosparse.dynamics.gains import gain
from neurosparse.errors import InputError
from neurosparse.meanfield.depth import Block, depth_fixed_point, propagate_depth
from neurosparse.meanfield.random_matrices import gaussian_product_exponents

Array = NDArray[np.float64]
BLOCK = st.builds(
    Block, weight_variance=st.floats(0.1, 8), bias_variance=st.floats(0, 1),
    phi=st.sampled_from(["tanh", "erf", "relu", "linear"]), skip=st.floats(0, 1.5),
    branch=st.floats(0.1, 2), norm=st.sampled_from(["none", "pre", "post"]),
    norm_scale=st.floats(0.2, 3))


@given(st.floats(0.05, 2), st.floats(0.1, 9), st.floats(0.01, 5))
@settings(deadline=None)
def test_exponent_of_a_residual_block(a: float, weight: float, q: float) -> None:  # row 31
    block = Block(weight, 0.2, "erf", skip=1.0, branch=a)
    chi = weight * 4 / math.pi / math.sqrt(1 + 4 * q)
    assert block.exponent(q) == pytest.approx(0.5 * math.log(1 + a * a * chi), rel=1e-12)
    profile = propagate_depth([block] * 5, variance=q)
    chis = weight * 4 / math.pi / np.sqrt(1 + 4 * profile.variance[:-1])
    assert profile.exponent == pytest.approx(0.5 * np.mean(np.log(1 + a * a * chis)), rel=1e-12)


def test_deep_linear_network() -> None:  # row 32
    depth, weight = 7, 1.3
    profile = propagate_depth([Block(weight, phi="linear")] * depth, variance=2.0)
    assert profile.log_gain.sum() == pytest.approx(depth * math.log(weight), rel=1e-13)
    assert profile.variance[-1] == pytest.approx(2 * weight**depth, rel=1e-13)
    assert np.allclose(profile.correlation, 0.5, atol=1e-14)
    # A sample's exponent lies below by the Jensen gap 1/(2N) of row 20.
    gap = profile.exponent - gaussian_product_exponents(400, math.sqrt(weight))[0]
    assert gap == pytest.approx(1 / 800, rel=0.01)


@given(BLOCK, st.floats(0.05, 10))
@settings(max_examples=40, deadline=None)
def test_gain_variance_and_correlation_agree(block: Block, q: float) -> None:
    # A small error across h turns the state by an angle: the slope of the correlation map at one
    # is the gain of the error over the growth of the variance.
    slope = block.gain(q) * q / block.variance_map(q)
    assert block.correlation_slope(1.0, q) == pytest.approx(slope, rel=1e-9)
    assert block.correlation_map(1.0, q) == pytest.approx(1, abs=1e-9)
    c, step = 0.4, 1e-5
    difference = block.correlation_map(c + step, q) - block.correlation_map(c - step, q)
    assert difference / (2 * step) == pytest.approx(block.correlation_slope(c, q), rel=1e-5)
    step = 1e-4 * q
    growth = (block.variance_map(q + step) - block.variance_map(q - step)) / (2 * step)
    assert growth == pytest.approx(block.variance_slope(q), rel=1e-4, abs=1e-9)


def run(block: Block, depth: int, width: int, seed: int) -> tuple[Array, Array, Array]:
    """Two inputs and tangents through drawn blocks; variance, correlation, log gain by block."""
    rng = np.random.default_rng(seed)
    phi = gain(block.phi)
    h = rng.normal(size=(2, width))
    h[1] = 0.5 * h[0] + math.sqrt(0.75) * h[1]
    tangent = rng.normal(size=(40, width))
    tangent -= np.outer(tangent @ h[0], h[0]) / (h[0] @ h[0])
    rows = []

    def norm(x: Array) -> Array:
        return block.norm_scale * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True))

    def norm_tangent(x: Array, v: Array) -> Array:
        rms = math.sqrt(np.mean(x**2))
        return block.norm_scale / rms * (v - np.outer(v @ x, x) / (x @ x))

    for _ in range(depth):
        weights = rng.normal(size=(width, width)) * math.sqrt(block.weight_variance / width)
        bias = rng.normal(size=width) * math.sqrt(block.bias_variance)
        u = norm(h) if block.norm == "pre" else h
        v = norm_tangent(h[0], tangent) if block.norm == "pre" else tangent
        new = block.skip * h + block.branch * (phi.value(u) @ weights.T + bias)
        moved = block.skip * tangent + block.branch * (phi.slope(u[0]) * v @ weights.T)
        if block.norm == "post":
            new, moved = norm(new), norm_tangent(new[0], moved)
        gained = math.log(np.sum(moved**2) / np.sum(tangent**2))
        h, tangent = new, moved
        rows.append((np.mean(h**2), h[0] @ h[1] / np.linalg.norm(h[0]) / np.linalg.norm(h[1]),
                     gained))
    variance, correlation, log_gain = np.array(rows).T
    return variance, correlation, log_gain


@pytest.mark.parametrize("block", [
    Block(1.69, 0.09), Block(4.0, 0.05), Block(2.0, 0.0, "relu"), Block(2.0, 0.1, "erf"),
    Block(1.5, 0.1, skip=1.0, branch=0.5),
    Block(2.0, 0.1, "relu", skip=1.0, branch=0.7, norm="pre"),
    Block(3.0, 0.1, "tanh", skip=1.0, norm="post", norm_scale=1.5),
    Block(3.0, 0.2, "erf", norm="pre", norm_scale=0.8),
], ids=lambda b: f"{b.phi}-{b.skip:g}-{b.norm}")
def test_theory_against_drawn_networks(block: Block) -> None:
    # rows 28 to 31, by simulation
    depth, width, draws = 5, 400, 30
    theory = propagate_depth([block] * depth)
    found = [run(block, depth, width, seed) for seed in range(draws)]
    variance, correlation, log_gain = (np.array([f[i] for f in found]) for i in range(3))
    # Ratios of fluctuations add up over blocks: standard error over draws plus the 1/width bias.
    for measured, expected in ((np.log(variance), np.log(theory.variance[1:])),
                               (correlation, theory.correlation[1:]),
                               (log_gain.cumsum(axis=1), theory.log_gain.cumsum())):
        error = measured.std(axis=0, ddof=1) / math.sqrt(draws)
        assert np.all(np.abs(measured.mean(axis=0) - expected) < 4 * error + 2 * depth / width)
        # The band is narrow enough to tell the theory from its neighbours.
        assert np.all(error < 0.05)


def test_pre_norm_errors_grow_like_a_power_of_depth() -> None:
    block = Block(2.0, 0.3, "relu", skip=1.0, norm="pre")
    profile = propagate_depth([block] * 4000, variance=1.0)
    # q grows by v = σ_w²/2 + σ_b² a block; the log error grows by χ/q, so as (χ/v) ln L.
    assert np.allclose(np.diff(profile.variance), 1.3)
    growth = profile.log_gain.cumsum()
    power = (growth[3999] - growth[399]) / math.log(profile.variance[4000] / profile.variance[400])
    assert power == pytest.approx(1 / 1.3, rel=2e-3)
    assert abs(profile.log_gain[-1]) < 3e-4


def test_relative_error_counts_from_the_input() -> None:
    block = Block(1.5, 0.2, skip=1.0)
    profile = propagate_depth([block] * 3, variance=0.7)
    assert profile.relative_error[0] == 1
    assert profile.relative_error[3] == pytest.approx(
        math.exp(profile.log_gain.sum()) * 0.7 / profile.variance[3], rel=1e-12)


def test_profile_settles_on_the_fixed_point_at_its_rate() -> None:
    block = Block(4.0, 0.05)
    fixed = depth_fixed_point(block)
    profile = propagate_depth([block] * 60, variance=0.5, correlation=0.9)
    assert profile.variance[-1] == pytest.approx(fixed.variance, rel=1e-12)
    gap = np.abs(profile.correlation - fixed.correlation)
    rate = np.log(gap[30] / gap[45]) / 15
    assert rate == pytest.approx(1 / fixed.correlation_depth, rel=0.01)
    gap = np.abs(profile.variance - fixed.variance)
    assert np.log(gap[4] / gap[8]) / 4 == pytest.approx(1 / fixed.variance_depth, rel=0.02)


def test_different_blocks_in_turn() -> None:
    blocks = [Block(2.0, phi="relu"), Block(0.5, phi="linear"), Block(1.0, skip=1.0, norm="pre")]
    profile = propagate_depth(blocks, variance=3.0, correlation=-1.0)
    assert profile.variance[1:3] == pytest.approx([3.0, 1.5])
    assert profile.variance.shape == profile.correlation.shape == (4,)
    assert profile.correlation[1] == pytest.approx(0.0, abs=1e-15)


def test_fixed_points_of_other_blocks() -> None:
    post = depth_fixed_point(Block(1.5, 0.1, skip=1.0, norm="post"))
    assert post.variance == 1 and post.variance_depth == 0 and post.status == "stable"
    assert post.exponent > 0 and post.correlation < 1
    for norm in ("none", "pre"):
        grown = depth_fixed_point(Block(1.5, 0.1, skip=1.0, norm=norm))  # type: ignore[arg-type]
        assert grown.status == "unbounded" and grown.exponent == 0
    plain = depth_fixed_point(Block(3.0, 0.2, "erf", norm="pre", norm_scale=0.8))
    assert plain.variance == pytest.approx(
        3 * 2 / math.pi * math.asin(1.28 / 2.28) + 0.2, rel=1e-12)


@pytest.mark.parametrize(("blocks", "kwargs"), [
    ([], {}), ([Block(1.0)], {"variance": 0.0}), ([Block(1.0)], {"correlation": 1.5}),
    ([Block(1.0)], {"correlation": math.nan}),
])
def test_refusals(blocks: list[Block], kwargs: dict[str, float]) -> None:
    with pytest.raises(InputError, match="found"):
        propagate_depth(blocks, **kwargs)
