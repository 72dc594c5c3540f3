"""The one projection: exact mean, inside the boxes, whole where it must be, idempotent."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.budgets import Profile, progression
from neurosparse.errors import BudgetError
from neurosparse.search import (
    LineProposer,
    Space,
    Unit,
    count_space,
    mean_space,
    profile_space,
    rate_space,
)

seeds = st.integers(0, 2**32 - 1)


def _rates(rng: np.random.Generator, share: float) -> Space:
    n = int(rng.integers(1, 12))
    low, high = np.sort(rng.uniform(0, 1, (2, n)), axis=0)
    if rng.random() < 0.5:
        low, high = np.zeros(n), np.ones(n)
    sizes = rng.integers(1, 10**8, n)
    total = float(np.average(low + share * (high - low), weights=sizes))
    return rate_space(sizes.tolist(), total, lower=low, upper=high)


def _mixed(rng: np.random.Generator, share: float, continuous: bool) -> Space:
    """Heads, neurons a hundredth of their size, and perhaps rates."""
    n = int(rng.integers(2, 6))
    units = [Unit(f"b{i}", 5000, "heads", 0, float(rng.integers(1, 9))) for i in range(n)]
    units += [Unit(f"b{i}", 37, "neurons", 0, float(rng.integers(300, 700))) for i in range(n)]
    if continuous:
        units += [Unit(f"b{i}", int(rng.integers(5000, 10**5))) for i in range(n)]
    whole = sum(unit.size * unit.upper for unit in units)
    return Space(units, share, whole=whole)


@given(seeds, st.floats(0, 1), st.sampled_from([1e-3, 0.3, 5.0, 1e6]))
@settings(max_examples=150)
def test_rates_keep_the_mean_and_the_boxes(seed: int, share: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    space = _rates(rng, share)
    values = rng.normal(0.3, scale, len(space))
    found = space.project(values)
    assert abs(np.average(found, weights=space.sizes) - space.total) <= 1e-12
    assert np.all((found >= space.lower) & (found <= space.upper))
    assert np.array_equal(space.project(found), found)
    assert space.holds(found)
    if np.ptp(space.lower) == 0 == np.ptp(space.upper):
        order = np.argsort(values, kind="stable")
        assert np.all(np.diff(found[order]) >= -1e-15)


@given(seeds, st.floats(0, 1), st.booleans())
@settings(max_examples=120)
def test_whole_numbers_and_what_is_finer_takes_up_the_rest(
    seed: int, share: float, continuous: bool
) -> None:
    rng = np.random.default_rng(seed)
    space = _mixed(rng, share, continuous)
    found = space.project(rng.uniform(-1, 2, len(space)) * space.span)
    assert np.all((found >= space.lower) & (found <= space.upper))
    assert np.all(found[space.integer] == np.rint(found[space.integer]))
    gap = abs(float(space.sizes @ found) - share * space.whole)
    assert gap <= (1e-12 * space.whole if continuous else 37 / 2 * (1 + 1e-9))
    assert np.array_equal(space.project(found), found)


@given(seeds)
@settings(max_examples=100)
def test_one_grain_is_the_nearest_allowed_point(seed: int) -> None:
    """Brute force: whole numbers of one cost are a nearest point of those with the same sum."""
    rng = np.random.default_rng(seed)
    space = mean_space([1, 1, 1], float(rng.integers(6, 25)) / 3, kind="bits", lower=2, upper=8)
    values = rng.uniform(2, 8, 3)
    found = space.project(values)
    total = round(3 * space.total)
    assert found.sum() == total
    # The shift that makes the sum right; without clipping the projection is the rounding of it.
    moved = values + (total - values.sum()) / 3
    if np.all((moved >= 2) & (moved <= 8)):
        grid = np.stack(np.meshgrid(*[np.arange(2, 9)] * 3), -1).reshape(-1, 3)
        grid = grid[grid.sum(1) == total]
        least = np.min(np.linalg.norm(grid - moved, axis=1))
        assert np.linalg.norm(found - moved) <= least + 1e-9


def test_a_rate_that_no_head_count_reaches_gives_the_nearest() -> None:
    space = count_space([4, 4, 4], [10, 10, 10], 0.3)  # 3.6 of 12 heads
    assert space.even().sum() == 4
    assert space.kept == pytest.approx(4 / 12)
    assert space.budget(space.even()).kind == "heads"
    assert np.all(space.project([9, 0, 0]) <= 3)  # every block keeps one


def test_heads_and_neurons_together_keep_a_share_of_the_parameters() -> None:
    space = count_space([9] * 4 + [1536] * 4, [110592] * 4 + [1728] * 4, 0.3,
                        kinds=["heads"] * 4 + ["neurons"] * 4, names=[f"b{i}" for i in range(8)])
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = space.project(rng.uniform(0, 1, 8) * space.span)
        assert abs(space.mean(found) - 0.3) * space.whole <= 1728 / 2
    kinds = [budget.kind for budget in space.budgets(found)]
    assert kinds == ["heads", "neurons"]
    with pytest.raises(BudgetError, match="one kind"):
        space.budget(found)


def test_a_budget_says_what_a_configuration_says() -> None:
    space = rate_space([3, 5, 9], 0.4, model={"name": "toy", "sha256": "ab"})
    found = space.project([0.1, 0.9, 0.2])
    budget = space.budget(found)
    assert np.array_equal(budget.rates, found)
    assert budget.sizes.tolist() == [3, 5, 9]
    assert budget.model is not None and budget.model.name == "toy"
    assert budget.total.asked == pytest.approx(0.4)
    assert [t.name for t in budget.targets] == ["block.0", "block.1", "block.2"]


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, np.nan, 0.2], [np.inf, 0, 0], [[0.1] * 3]])
def test_what_cannot_be_projected(values: list[float]) -> None:
    with pytest.raises(BudgetError, match="3 finite numbers"):
        rate_space([1, 1, 1], 0.5).project(values)


@pytest.mark.parametrize(("units", "total", "named"), [
    ([], 0.5, "0 units"), ([Unit("a", 1), Unit("a", 1)], 0.5, "2 units"),
    ([Unit("a", 0)], 0.5, "size 0"), ([Unit("a", 1, upper=1.5)], 0.5, "rates in"),
    ([Unit("a", 1, lower=0.7, upper=0.6)], 0.65, "lower <= upper"),
    ([Unit("a", 1, "heads", 0, 2.5)], 1, "whole numbers"), ([Unit("a", 1)], 1.2, "total"),
    ([Unit("a", 1)], float("nan"), "total"),
    ([Unit("a", 100, "heads", 0, 4), Unit("b", 1, "neurons", 0, 20)], 2.0, "grain"),
])
def test_spaces_that_make_no_sense(units: list[Unit], total: float, named: str) -> None:
    with pytest.raises(BudgetError, match=named):
        Space(units, total)


def test_keys_tell_configurations_apart_and_only_those() -> None:
    space = rate_space([1, 1], 0.5, resolution=1e-3)
    one = space.project([0.4, 0.6])
    assert space.key(one) == space.key(one + np.array([1e-4, -1e-4]))
    assert space.key(one) != space.key(one + np.array([2e-3, -2e-3]))
    counts = mean_space([1, 1], 3, kind="rank", lower=0, upper=9)
    assert counts.key([3, 3]) != counts.key([2, 4])
    assert counts.key([0.0, 6.0]) == counts.key([-0.0, 6.0])


def test_a_space_from_a_profile() -> None:
    profile = Profile(names=["m.0.q", "m.0.v", "m.1.q"], sizes=np.array([6, 8, 6]),
                      block=np.array([0, 0, 1]), roles=["q", "v", "q"], norms=np.ones(3),
                      model={"name": "toy", "sha256": "ab"})
    blocks = profile_space(profile, 0.5, lower={"*.v": 0.2}, upper={"m.1.*": 0.9})
    assert [unit.size for unit in blocks.units] == [14, 6]
    assert blocks.lower.tolist() == [0.2, 0.0] and blocks.upper.tolist() == [1.0, 0.9]
    linears = profile_space(profile, 0.5, per="linear")
    assert [unit.name for unit in linears.units] == profile.names
    assert linears.model is not None


@pytest.mark.parametrize("sizes", [[1] * 8, [50 + 9 * i for i in range(8)]])
def test_the_line_is_atps_progression(sizes: list[int]) -> None:
    proposer = LineProposer(rate_space(sizes, 0.6), step=0.01)
    for step in (0.0, 0.03, proposer.bounds()[1]):
        assert np.allclose(proposer.at(step), progression(8, 0.6, step, sizes=sizes), atol=1e-12)


def test_the_search_needs_no_torch_and_no_optional_package() -> None:
    code = ("import sys, neurosparse.search\n"
            "print([m for m in ('torch', 'transformers', 'cma', 'optuna', 'openai')"
            " if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
