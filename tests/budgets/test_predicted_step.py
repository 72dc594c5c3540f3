"""The predicted step: exact where its assumptions hold, and settled where they bend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.budgets import (
    Profile,
    least_damage_step,
    path_below,
    predicted_step,
    progression_rates,
    step_bounds,
)
from neurosparse.budgets.propagation import stiffness_at


@given(st.integers(2, 12), st.floats(0.3, 0.8), st.floats(-0.05, 0.05), st.integers(0, 99))
def test_exponential_damage_gives_kappa_over_k(blocks: int, sparsity: float, kappa: float,
                                               seed: int) -> None:
    generator = np.random.default_rng(seed)
    block = np.repeat(np.arange(blocks), 3)
    sizes = generator.integers(10, 1000, 3)[None].repeat(blocks, 0).ravel().astype(float)
    rates = generator.uniform(0.2, 0.6, len(block))
    k = stiffness_at(sparsity)
    marginal = np.exp(k * rates - kappa * block)
    step = least_damage_step(rates, marginal, sizes, block, sparsity)
    low, high = step_bounds(blocks, sparsity)
    assert step == pytest.approx(np.clip(kappa / k, low, high), abs=2e-5)


@pytest.mark.parametrize("response", [0.0, 0.4, 0.6])
def test_a_path_that_falls_short_settles(response: float) -> None:
    """Marginal damage that answers a step only in part: the fixed point is still found."""
    blocks, sparsity, wanted = 8, 0.6, 0.01
    block, sizes = np.arange(blocks), np.full(blocks, 100)
    points = (*path_below(sparsity)[1:], path_below(sparsity)[-1])
    rates, density, step = [], [], 0.0
    for point in points:
        now = progression_rates(block, sizes, point, step)
        # Least damage is then at wanted + response (step - wanted).
        answer = wanted + response * (step - wanted)
        k = stiffness_at(sparsity)
        marginal = np.exp(k * (now - (point + answer * (block - block.mean()))))
        rates.append(now)
        density.append(np.repeat((marginal * sizes)[:, None], 64, 1))
        step = least_damage_step(now, marginal, sizes, block, sparsity)
    profile = Profile(
        names=[f"l{i}" for i in range(blocks)], sizes=sizes, block=block, roles=["x"] * blocks,
        norms=np.ones(blocks), model={"name": "m", "sha256": "0" * 64},
        evidence={"progression": {"points": np.array(points), "rates": np.array(rates),
                                  "density": np.array(density),
                                  "damage_at": np.ones(len(points))}})
    found = predicted_step(profile, sparsity)
    assert found.source == "progression"
    assert found.step == pytest.approx(wanted, abs=5e-5)
