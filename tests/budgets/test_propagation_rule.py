"""Rule propagation on networks whose damage is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.budgets import Profile, allocate, explain, path_below
from neurosparse.budgets.propagation import marginal_damage, next_rates, stiffness_at
from neurosparse.errors import BudgetError

BINS = 64


def _profile(points: list[float], rates: np.ndarray, density: np.ndarray, sizes: np.ndarray
             ) -> Profile:
    count = len(sizes)
    return Profile(
        names=[f"m.{i}.a" for i in range(count)], sizes=sizes, block=np.arange(count),
        roles=["a"] * count, norms=np.ones(count),
        evidence={"propagation": {"points": np.array(points), "rates": rates, "density": density,
                                  "damage_at": np.arange(len(points), dtype=float)}})


def _density(gains: np.ndarray, k: float, sizes: np.ndarray) -> np.ndarray:
    """Damage g exp(k s) a parameter: density by rank is its derivative, whatever the rates."""
    centres = (np.arange(BINS) + 0.5) / BINS
    return (gains * sizes)[:, None] * k * np.exp(k * centres)


@given(st.lists(st.floats(0.2, 5.0), min_size=2, max_size=12), st.floats(0.35, 0.9))
def test_marginal_damage_is_equal_where_damage_is_exponential(gains: list[float], total: float
                                                              ) -> None:
    """From exact evidence at the last point, one step makes the marginal damages equal."""
    g, k = np.array(gains), stiffness_at(total)
    sizes = 100 + 10 * np.arange(len(g))
    at = path_below(total)[-1]
    rates = np.full(len(g), at)
    profile = _profile([at], rates[None], _density(g, k, sizes)[None], sizes)
    found = np.array([t.value for t in allocate(profile, total, rule="propagation").targets])
    assert np.average(found, weights=sizes) == pytest.approx(total, abs=1e-12)
    low, high = max(0.0, total - 0.4), max(total, min(0.95, total + 0.3))
    inside = (found > low + 1e-9) & (found < high - 1e-9)
    inside &= g >= np.quantile(g, 0.05)  # below it the floor holds
    log_marginal = np.log(g) + k * found
    if inside.sum() > 1:
        assert np.ptp(log_marginal[inside]) < 1e-6


def test_path_is_always_milder_and_nested() -> None:
    for total in (0.05, 0.3, 0.31, 0.5, 0.6, 0.7, 0.95):
        assert all(point < total for point in path_below(total))
    assert path_below(0.7)[-1] == pytest.approx(0.651) and len(path_below(0.1)) == 1


def test_marginal_damage_reads_the_ranks_near_the_rate() -> None:
    density = np.zeros((2, BINS))
    density[0, :32], density[1, 32:] = 8.0, 4.0
    found = marginal_damage(density, [0.2, 0.8], [2, 4])
    assert found == pytest.approx([4.0, 1.15])  # 1.0, raised to the 5 % quantile


def test_negative_and_missing_marginals_get_the_floor() -> None:
    density = np.outer([-1.0, 0.0, np.nan, 2.0, 3.0], np.ones(BINS))
    found = marginal_damage(density, np.full(5, 0.5), np.ones(5))
    assert found[3:] == pytest.approx([2.05, 3.0])
    assert np.all(found[:3] == pytest.approx(2.05))
    with pytest.raises(BudgetError, match="harms"):
        marginal_damage(-np.ones((3, BINS)), np.full(3, 0.5), np.ones(3))


def test_rates_keep_near_the_mean() -> None:
    found = next_rates(np.full(3, 0.5), [1e-9, 1.0, 1e9], [1, 1, 1], 0.6)
    assert found.min() >= 0.2 - 1e-12 and found.max() <= 0.9 + 1e-12
    assert found.mean() == pytest.approx(0.6, abs=1e-12)


def test_it_uses_the_last_point_below_and_says_so() -> None:
    sizes = np.array([10, 10])
    gains = np.stack([_density(np.array([1.0, 2.0]), 12, sizes),
                      _density(np.array([2.0, 1.0]), 12, sizes)])
    profile = _profile([0.3, 0.5], np.array([[0.3, 0.3], [0.5, 0.5]]), gains, sizes)
    early = allocate(profile, 0.45, rule="propagation")
    late = explain(profile, 0.6, rule="propagation")
    assert early.rule.notes == {"linearised_at": 0.3, "damage_there": 0.0}
    assert late.notes["linearised_at"] == 0.5
    assert early.targets[0].value > early.targets[1].value
    assert late.budget.targets[0].value < late.budget.targets[1].value
    assert "ln marginal damage" in str(late) and "m.1.a" in str(late)
    # Milder than the whole path: read off at its first point.
    mild = allocate(profile, 0.2, rule="propagation")
    assert mild.rule.notes["linearised_at"] == 0.3
    assert sum(t.value for t in mild.targets) == pytest.approx(0.4)
    with pytest.raises(BudgetError, match="stiffness"):
        allocate(profile, 0.6, rule="propagation", stiffness=-1.0)
    with pytest.raises(BudgetError, match="spread"):
        allocate(profile, 0.6, rule="propagation", spread=1.5)
    with pytest.raises(BudgetError, match="propagation"):
        allocate(Profile(["a"], np.array([4]), np.array([0]), ["a"], np.ones(1)), 0.5,
                 rule="propagation")


def test_rates_differ_less_where_the_rest_is_solved_again() -> None:
    """Half the way from the last point: k is twice as large."""
    sizes = np.array([10, 10])
    gains = _density(np.array([1.0, 4.0]), 12, sizes)[None]
    profile = _profile([0.5], np.array([[0.5, 0.5]]), gains, sizes)
    plain = allocate(profile, 0.6, rule="propagation").rates
    solved = allocate(profile, 0.6, rule="propagation", compensated=True).rates
    assert np.ptp(solved) == pytest.approx(np.ptp(plain) / 2)
    assert solved.mean() == pytest.approx(0.6, abs=1e-12)
    assert stiffness_at(0.6, compensated=True) == pytest.approx(2 * stiffness_at(0.6))


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_spread_takes_rates_towards_their_mean(spread: float) -> None:
    sizes, gains = np.full(4, 100), np.array([0.5, 1.0, 2.0, 4.0])
    at = path_below(0.6)[-1]
    profile = _profile([at], np.full((1, 4), at), _density(gains, 12.0, sizes)[None], sizes)
    whole = allocate(profile, 0.6, rule="propagation").rates
    found = allocate(profile, 0.6, rule="propagation", spread=spread).rates
    np.testing.assert_allclose(found, 0.6 + spread * (np.asarray(whole) - 0.6), atol=1e-9)
    assert np.std(whole) > 0.01


@pytest.mark.parametrize(("sparsity", "share"), [(0.5, 1.0), (0.6, 1.0), (0.65, 0.75), (0.7, 0.5)])
def test_rates_under_a_refit_are_drawn_together_above_60_percent(sparsity: float, share: float
                                                                 ) -> None:
    sizes, gains, at = np.full(4, 100), np.array([0.5, 1.0, 2.0, 4.0]), 0.45
    profile = _profile([at], np.full((1, 4), at), _density(gains, 12.0, sizes)[None], sizes)
    plain = allocate(profile, sparsity, rule="propagation", compensated=True).rates
    found = allocate(profile, sparsity, rule="propagation", compensated=True, refit=True).rates
    np.testing.assert_allclose(found, sparsity + share * (np.asarray(plain) - sparsity), atol=1e-9)
    given = allocate(profile, sparsity, rule="propagation", compensated=True, refit=True,
                     spread=1.0).rates
    np.testing.assert_array_equal(given, plain)
