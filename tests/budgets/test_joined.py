"""The choice between tokens and sparsity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.budgets import (
    Budget,
    JoinedCurves,
    JoinedPoint,
    Profile,
    allocate,
    cross_term,
    joined,
    joined_budgets,
    read_budgets,
    surface,
    write_budgets,
)
from neurosparse.errors import BudgetError, FormatError

TOKENS, RATES = np.array([3, 7, 20]), np.array([0.0, 0.25, 0.6])


def _curves(seed: int, *, monotone: bool = True, free: bool = False) -> JoinedCurves:
    """Random tables; ``free`` sparsity saves nothing."""
    rng = np.random.default_rng(seed)
    damage = rng.uniform(0.01, 1, (3, 3))
    if monotone:
        damage = np.cumsum(np.cumsum(damage[::-1], axis=0), axis=1)[::-1]
    per_token = rng.uniform(0.5, 2)
    cost = per_token * (TOKENS[:, None] + 0.02 * TOKENS[:, None] ** 2) * (1 - 0.9 * RATES) + 1
    if free:
        cost = np.repeat(cost[:, :1], 3, axis=1)
    return JoinedCurves(TOKENS, RATES, damage, cost, dense=float(cost[-1, 0]))


@given(st.integers(0, 10**6), st.floats(0.05, 1.2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_best_of_all_points(seed: int, share: float, monotone: bool) -> None:
    curves = _curves(seed, monotone=monotone)
    found, target = surface(curves), share * curves.dense
    within = [(found.damage[i, j], found.cost[i, j], j, -i) for i in range(len(found.tokens))
              for j in range(len(found.sparsities)) if found.cost[i, j] <= target]
    if not within:
        with pytest.raises(BudgetError, match="or more"):
            joined(curves, cost=target)
        return
    damage, cost, column, row = min(within)
    best = joined(curves, cost=target).best
    assert best == JoinedPoint(int(found.tokens[-row]), float(found.sparsities[column]),
                               damage, cost)
    assert best.cost <= target


@given(st.integers(0, 10**6), st.floats(0.3, 1.2), st.floats(0.3, 1.2))
@settings(max_examples=60, deadline=None)
def test_a_greater_target_never_hurts_more(seed: int, first: float, second: float) -> None:
    curves = _curves(seed)
    tight, wide = (joined(curves, cost=share * curves.dense) for share in sorted((first, second)))
    assert wide.best.damage <= tight.best.damage
    for alone in (tight.tokens_alone, tight.sparsity_alone):
        assert alone is None or tight.best.damage <= alone.damage


@given(st.integers(0, 10**6), st.floats(0.2, 1.0))
@settings(max_examples=30, deadline=None)
def test_the_other_goal_finds_the_same_point(seed: int, share: float) -> None:
    curves = _curves(seed)
    try:
        best = joined(curves, cost=share * curves.dense).best
    except BudgetError:
        return
    other = joined(curves, damage=best.damage).best
    assert other.cost <= best.cost and other.damage <= best.damage


@given(st.integers(0, 10**6), st.floats(0.4, 1.0))
@settings(max_examples=30, deadline=None)
def test_tokens_alone_where_sparsity_saves_nothing(seed: int, share: float) -> None:
    curves = _curves(seed, free=True)
    choice = joined(curves, cost=share * curves.dense)
    assert choice.best.sparsity == 0 and choice.best == choice.tokens_alone


def test_between_the_points() -> None:
    curves = _curves(3)
    found = surface(curves)
    rows = np.searchsorted(found.tokens, TOKENS)
    columns = np.searchsorted(found.sparsities, RATES)
    np.testing.assert_allclose(found.damage[np.ix_(rows, columns)], curves.damage)
    np.testing.assert_allclose(found.cost[np.ix_(rows, columns)], curves.cost)
    # Of a convex cost no point is foretold too cheap.
    scale = (curves.cost[0, 0] - 1) / (3 + 0.02 * 9)
    true = scale * (found.tokens + 0.02 * found.tokens.astype(float) ** 2) + 1
    assert np.all(found.cost[:, 0] >= true - 1e-9)
    assert np.all(np.diff(found.damage[:, 0]) <= 0)  # monotone as the points are
    assert np.all(np.diff(found.damage[-1]) >= 0)


def test_one_level_of_either() -> None:
    curves = _curves(1)
    alone = JoinedCurves(TOKENS, RATES[:1], curves.damage[:, :1], curves.cost[:, :1])
    assert joined(alone, cost=curves.cost[1, 0]).best.tokens == 7
    weights = JoinedCurves(TOKENS[-1:], RATES, curves.damage[-1:], curves.cost[-1:])
    assert joined(weights, cost=curves.cost[-1, 1]).best.sparsity == pytest.approx(0.25)


def test_many_tokens_are_thinned() -> None:
    tokens = np.array([1000, 200_000])
    damage, cost = np.array([[1.0], [0.0]]), np.array([[1.0], [200.0]])
    found = surface(JoinedCurves(tokens, np.zeros(1), damage, cost))
    assert len(found.tokens) < 20_000 and {1000, 200_000} <= set(found.tokens.tolist())
    assert np.all(np.diff(found.tokens) > 0) and np.all(np.isfinite(found.damage))


@pytest.mark.parametrize(("change", "words"), [
    ({"damage": np.full((3, 3), np.nan)}, "a damage that is not finite with 3 tokens"),
    ({"cost": np.full((3, 3), np.inf)}, "a cost that is not finite"),
    ({"tokens": np.array([3, 3, 20])}, "increasing"),
    ({"sparsities": np.array([0.0, 0.5, 1.0])}, r"rates in \[0, 1\)"),
    ({"damage": np.zeros((2, 3))}, "shape"),
])
def test_curves_that_are_refused(change: dict[str, np.ndarray], words: str) -> None:
    good = _curves(0)
    given_ = {"tokens": good.tokens, "sparsities": good.sparsities, "damage": good.damage,
              "cost": good.cost, **change}
    with pytest.raises(BudgetError, match=words):
        JoinedCurves(**given_)


def test_goals_that_are_refused() -> None:
    curves = _curves(0)
    for goals in ({}, {"cost": 1.0, "damage": 1.0}):
        with pytest.raises(BudgetError, match="one of the two"):
            joined(curves, **goals)
    least = curves.cost.min()
    with pytest.raises(BudgetError, match=f"{least:.4g}.*3 tokens at sparsity 0.6"):
        joined(curves, cost=0.5 * least)
    with pytest.raises(BudgetError, match="20 tokens at sparsity 0"):
        joined(curves, damage=0.5 * curves.damage.min())


def test_additivity() -> None:
    rng = np.random.default_rng(0)
    frames, weights = rng.uniform(0, 1, (4, 1, 30)), rng.uniform(0, 1, (1, 3, 30))
    frames[-1], weights[:, 0] = 0, 0
    plain = cross_term(frames + weights)
    np.testing.assert_allclose(plain.mean, 0, atol=1e-12)
    assert plain.share == pytest.approx(0, abs=1e-12)
    # Together a tenth more than alone.
    apart = frames + weights
    apart[:-1, 1:] *= 1.1
    more = cross_term(apart)
    assert more.share == pytest.approx(0.1) and more.share_stderr == pytest.approx(0, abs=1e-9)
    assert np.all(more.mean[:-1, 1:] > 0) and np.all(more.stderr[:-1, 1:] > 0)
    np.testing.assert_allclose(more.mean[-1], 0, atol=1e-12)
    # The error is that of the share, over videos.
    noisy = frames + weights + 0.1 * rng.standard_normal((4, 3, 30))
    one = cross_term(noisy)
    assert abs(one.share) < 4 * one.share_stderr
    with pytest.raises(BudgetError, match="videos"):
        cross_term(np.zeros((2, 2)))


def _sparsity(rate: float) -> Budget:
    profile = Profile(names=["a", "b"], sizes=np.array([6, 10]), block=np.array([0, 1]),
                      roles=["a", "b"], norms=np.ones(2))
    return allocate(profile, rate, rule="uniform")


def test_both_in_one_file(tmp_path: Path) -> None:
    point = JoinedPoint(7, 0.25, 0.1, 12.0)
    both = joined_budgets(point, _sparsity(0.25), most=20, options={"flops": 0.4},
                          notes={"damage": [[0.1]]})
    path = tmp_path / "budget.json"
    write_budgets(path, both)
    assert read_budgets(path) == both
    frames, weights = Budget.read(path, kind="tokens"), Budget.read(path, kind="sparsity")
    assert frames.total.kept == 7 and frames.targets[0].size == 20
    assert frames.rule.notes["damage"] == [[0.1]]
    assert weights.mean() == 0.25 and weights.rule.notes["joined"]["tokens"] == 7
    with pytest.raises(FormatError, match="Name the kind"):
        Budget.read(path)
    for some in ([], [both[0], both[0]]):
        with pytest.raises(BudgetError, match="its own kind"):
            write_budgets(path, some)
    # One object a file stays one object.
    weights.write(path)
    assert Budget.read(path) == weights
