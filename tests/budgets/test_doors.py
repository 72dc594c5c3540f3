"""What allocate takes and refuses: options, evidence that is not finite, one block, no sparsity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosparse.budgets import (
    RULES,
    Budget,
    Profile,
    allocate,
    arithmetic,
    exact_mean,
    explain,
    path_below,
)
from neurosparse.errors import BudgetError, InputError

NAN = float("nan")


def _profile(blocks: int = 3) -> Profile:
    """Two linears a block, and evidence of every rule."""
    count, rng = 2 * blocks, np.random.default_rng(blocks)
    points = np.array(path_below(0.6))

    def some(*shape: int) -> np.ndarray:
        return rng.random(shape) + 0.01

    path = {"points": points, "rates": some(len(points), count),
            "density": some(len(points), count, 8), "damage_at": some(len(points))}
    return Profile(
        [f"m.{i // 2}.{'ab'[i % 2]}" for i in range(count)], np.arange(1, count + 1) * 8,
        np.arange(count) // 2, ["a", "b"] * blocks, np.ones(count), evidence={
            "owl": {"multiples": np.array([5.0, 7.0]), "block": some(count, 2),
                    "linear": some(count, 2)},
            "dlp": {f"{per}_{kind}": some(count) for per in ("block", "linear")
                    for kind in ("median", "mean")},
            "spectra": {"peak": 1 + some(count), "median": 1 + some(count)},
            "representation": {kind: some(blocks + 1, blocks + 1) for kind in ("tokens", "pooled")},
            "fisher": {"trace": some(count)}, "lsa": {"error": some(count)},
            "absorption": {"sizes": np.array([0.1]), "log_growth": some(1, blocks) - 0.5},
            "shapes": {"out": np.full(count, 8.0), "in": np.full(count, 4.0)},
            "scores": {"levels": np.linspace(0, 1, 5), "quantiles": np.sort(some(count, 5))},
            "propagation": path, "progression": path})


def _options(rule: str) -> dict[str, Any]:
    return {"step": "predicted"} if rule == "arithmetic" else {}


def test_owls_multiple_is_not_that_of_rounding() -> None:
    profile = _profile()
    found = allocate(profile, 0.6, rule="owl", outlier_multiple=7)
    assert found.rule.options == {"outlier_multiple": 7}
    assert np.ptp(found.rates) > 0 and np.ptp(found.rates * 7 % 1) > 1e-3
    assert not np.allclose(found.rates, allocate(profile, 0.6, rule="owl").rates)
    assert "outliers" in explain(profile, 0.6, rule="owl", outlier_multiple=7).columns
    with pytest.raises(BudgetError, match=r"outlier_multiple=8.*\[5\.0, 7\.0\]"):
        allocate(profile, 0.6, rule="owl", outlier_multiple=8)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_one_block_gives_the_mean(rule: str) -> None:
    found = allocate(_profile(1), 0.6, rule=rule, **_options(rule))
    assert found.mean() == pytest.approx(0.6, abs=1e-12)
    if rule == "arithmetic":
        assert found.rule.notes["predicted_step"] == 0.0


@pytest.mark.parametrize("rule", sorted(RULES))
def test_nothing_needs_no_evidence(rule: str) -> None:
    bare = _profile()
    bare.evidence = {}
    found = explain(bare, 0.0, rule=rule, **_options(rule))
    assert not found.columns and not found.budget.rates.any() and "m.0.a" in str(found)


@pytest.mark.parametrize(("rule", "name", "array"), [
    ("owl", "owl", "block"), ("dlp", "dlp", "block_median"), ("alpha", "spectra", "peak"),
    ("lsa", "lsa", "error"), ("fisher-trace", "fisher", "trace"), ("er", "shapes", "in"),
    ("global", "scores", "quantiles"), ("representation", "representation", "tokens"),
    ("absorption", "absorption", "log_growth"), ("propagation", "propagation", "density"),
    ("propagation", "propagation", "points"), ("arithmetic", "progression", "points")])
def test_evidence_of_nan_alone_is_no_uniform_budget(rule: str, name: str, array: str) -> None:
    profile = _profile()
    profile.evidence[name][array][:] = NAN
    with pytest.raises(BudgetError, match=f"{name}.*no finite number.*{array}"):
        allocate(profile, 0.6, rule=rule, **_options(rule))


@pytest.mark.parametrize(("rule", "name", "array", "at", "value", "place"), [
    ("absorption", "absorption", "log_growth", (0, 1), NAN, "block 1"),
    ("representation", "representation", "tokens", (2, 0), NAN, "block 2"),
    ("er", "shapes", "out", 3, 0.0, r"found 0\.0 for m\.1\.b"),
    ("erk", "shapes", "out", 3, NAN, r"m\.1\.b"),
    ("propagation", "propagation", "points", 1, NAN, "point 1"),
    ("propagation", "propagation", "rates", (-1, 2), NAN, r"m\.1\.a"),
    ("global", "scores", "quantiles", (1, 2), NAN, r"m\.0\.b"),
    ("global", "scores", "quantiles", (1, 4), np.inf, r"m\.0\.b")])
def test_a_number_that_a_rule_cannot_do_without(rule: str, name: str, array: str, at: Any,
                                                value: float, place: str) -> None:
    profile = _profile()
    profile.evidence[name][array][at] = value
    with pytest.raises(BudgetError, match=place):
        allocate(profile, 0.6, rule=rule)


def test_one_linear_without_tokens_is_no_error() -> None:
    profile = _profile()
    profile.evidence["lsa"]["error"][0] = profile.evidence["owl"]["linear"][0] = NAN
    for rule, options in (("lsa", {"per": "linear"}), ("owl", {"per": "linear"})):
        assert np.ptp(allocate(profile, 0.6, rule=rule, **options).rates) > 0


def test_damage_beyond_float64_is_refused() -> None:
    profile = _profile()
    path = profile.evidence["propagation"]
    path["density"] = np.full((len(path["points"]), 6, 64), 1e308)
    with np.errstate(all="ignore"), pytest.raises(BudgetError, match="a rate of"):
        allocate(profile, 0.6, rule="propagation")


@pytest.mark.parametrize("size", [0, -5])
def test_targets_without_parameters_are_no_profile(size: int) -> None:
    with pytest.raises(InputError, match=f"{size} parameters for b"):
        Profile(["a", "b"], np.array([5, size]), np.zeros(2, int), ["a"] * 2, np.ones(2))


@pytest.mark.parametrize(("rates", "weights", "said"), [
    ([NAN, 0.5], [1, 1], "nan for target 0"), ([0.5, np.inf], [1, 1], "inf for target 1"),
    ([0.1, 0.5], [0, 0], "weights"), ([0.1, 0.5], [1, NAN], "weights"),
    ([0.1, 0.5], [2, -1], "weights"), ([0.1, 0.5], [1], "weights"), ([], [], "weights")])
def test_exact_mean_refuses(rates: list[float], weights: list[float], said: str) -> None:
    with pytest.raises(BudgetError, match=said):
        exact_mean(rates, weights, 0.5)


@pytest.mark.parametrize(("rule", "options"), [
    ("propagation", {"stiffness": np.float32(5), "compensated": np.bool_(True)}),
    ("propagation", {"stiffness": np.int64(5)}), ("arithmetic", {"step": np.float32(0.01)}),
    ("owl", {"width": np.float32(0.05), "outlier_multiple": np.int32(7)})])
def test_numbers_of_numpy_are_written(rule: str, options: dict[str, Any], tmp_path: Path) -> None:
    budget = allocate(_profile(), np.float32(0.5), rule=rule, lower=np.float32(0.125), **options)
    budget.write(tmp_path / "b.json")
    assert Budget.read(tmp_path / "b.json") == budget
    assert budget.rule.options == {name: value.item() for name, value in options.items()}


def test_a_progression_of_numpy_is_written(tmp_path: Path) -> None:
    arithmetic(3, 0.5, np.float32(0.125)).write(tmp_path / "b.json")  # type: ignore[arg-type]
    assert Budget.read(tmp_path / "b.json").rule.options == {"step": 0.125}
    with pytest.raises(BudgetError, match="step None"):
        arithmetic(3, 0.5, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rule", "options"), [
    ("propagation", {"stiffness": "6"}), ("propagation", {"stiffness": True}),
    ("propagation", {"spread": NAN}), ("propagation", {"compensated": "no"}),
    ("arithmetic", {"step": None}), ("arithmetic", {"step": np.inf}), ("owl", {"width": [0.1]}),
    ("owl", {"per": 3}), ("owl", {"outlier_multiple": "7"}), ("absorption", {"base": ["owl"]}),
    ("absorption", {"size": "small"}), ("owl", {"width": 10**400})])
def test_options_of_another_type_are_named(rule: str, options: dict[str, Any]) -> None:
    with pytest.raises(BudgetError, match=f"{next(iter(options))}="):
        allocate(_profile(), 0.6, rule=rule, **options)


@pytest.mark.parametrize(("given", "said"), [
    ({"multiple": True}, "multiple=True"), ({"lower": True}, "lower bound"),
    ({"upper": {"*": "x"}}, "upper bound"), ({"lower": NAN}, "lower bound")])
def test_bounds_and_multiples_are_numbers(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BudgetError, match=said):
        allocate(_profile(), 0.6, **given)


@pytest.mark.parametrize("sparsity", [True, "0.6", None, 1.5, -1, NAN])
def test_a_sparsity_is_a_number(sparsity: Any) -> None:
    with pytest.raises(BudgetError, match="sparsity"):
        allocate(_profile(), sparsity)


def test_paths_begin_at_30_percent_or_sooner() -> None:
    assert path_below(0.6)[0] == 0.3 and path_below(0.45)[0] == pytest.approx(0.27)
    for wrong in (1.5, -1, NAN):
        with pytest.raises(BudgetError, match="from 0 to 1"):
            path_below(wrong)
