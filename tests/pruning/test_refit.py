"""Re-fit: least squares under masks, the damaged input, and the error of a whole model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model

from neurosparse.budgets import allocate
from neurosparse.errors import InputError
from neurosparse.measure import DepthErrors, sizes_only
from neurosparse.models import find_targets, get_weight
from neurosparse.pruning import (
    BlockFiles,
    InputStatistics,
    Refit,
    masked_least_squares,
    prune,
)
from neurosparse.pruning.refit import _Moments, _System


def _tokens(windows: int = 6, length: int = 40) -> torch.Tensor:
    return torch.randint(0, 100, (windows, length), generator=torch.Generator().manual_seed(5))


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 99))
def test_masked_least_squares_is_exact_row_by_row(rows: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3 * width + 2, width, generator=generator, dtype=torch.float64)
    gram = x.T @ x + 0.1 * torch.eye(width, dtype=torch.float64)
    right = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    mask = torch.rand(rows, width, generator=generator) > 0.4
    found = masked_least_squares(gram, right, mask, torch.zeros_like(right), iterations=200,
                                 tolerance=1e-12)
    assert torch.all(found[~mask] == 0)
    for row in range(rows):
        kept = mask[row]
        expected = torch.linalg.solve(gram[kept][:, kept], right[row, kept])
        assert torch.allclose(found[row, kept], expected, atol=1e-8)


def test_nothing_pruned_is_nothing_changed() -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prune(model, allocate(sizes_only(model), 0.0), _tokens(), refit=Refit())
    for name, value in model.state_dict().items():
        assert torch.allclose(value, before[name], atol=1e-6), name


@pytest.mark.parametrize("mask", ["along", "fixed", "chosen"])
def test_error_through_depth_is_smaller_and_counts_stay(mask: str) -> None:
    errors, masks = {}, {}
    for name, refit in (("plain", None), ("refit", Refit(mask=mask))):
        model, depth = tiny_model(), DepthErrors(batches=9)
        prune(model, allocate(sizes_only(model), 0.5), _tokens(40), refit=refit,
              observers=[depth], batch_size=8)
        errors[name] = depth.relative_error
        masks[name] = {t.name: get_weight(model, t) == 0 for t in find_targets(model)}
    assert np.all(errors["refit"] < errors["plain"])
    # The first block's inputs are not damaged yet, those of its first linears not even by itself.
    first = [name for name in masks["plain"] if ".layers.0." in name and mask == "fixed"]
    assert all(torch.equal(masks["plain"][name], masks["refit"][name]) for name in first)
    total = sum(int(mask.sum()) for mask in masks["refit"].values())
    assert total == sum(int(mask.sum()) for mask in masks["plain"].values())


def test_resumed_refit_is_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    budget = allocate(sizes_only(tiny_model()), 0.5)
    whole, again = tiny_model(), tiny_model()
    prune(whole, budget, _tokens(), refit=Refit(), keeper=BlockFiles(tmp_path))
    BlockFiles(tmp_path).path(2).unlink()
    prune(again, budget, _tokens(), refit=Refit(), keeper=BlockFiles(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(
        whole.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize("bad", [{"strength": 1.5}, {"mask": "row"}, {"damping": 0.0},
                                 {"iterations": 0}, {"iterations": 2.5}, {"damping": "0.1"},
                                 {"damping": float("inf")}])
def test_refit_refuses(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Refit(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("wish", [{"pattern": "2:4"}, {"keep_zeros": True}])
def test_chosen_masks_know_no_pattern_and_no_old_zeros(wish: dict[str, object]) -> None:
    model = tiny_model()
    with pytest.raises(InputError, match="mask='chosen' with"):
        prune(model, allocate(sizes_only(model), 0.5), _tokens(), refit=Refit(mask="chosen"),
              **wish)  # type: ignore[arg-type]


@pytest.mark.parametrize("mask", ["along", "fixed"])
@pytest.mark.parametrize("pattern", [None, "2:4"])
def test_other_masks_keep_patterns_and_old_zeros(mask: str, pattern: str | None) -> None:
    model, old = tiny_model(), {}
    for target in find_targets(model):
        weight = get_weight(model, target)
        weight[:, ::4] = 0.0
        old[target.name] = weight == 0
    done = prune(model, allocate(sizes_only(model), 0.5), _tokens(), refit=Refit(mask=mask),
                 method="sparsegpt", pattern=pattern, keep_zeros=True)
    for target in find_targets(model):
        weight = get_weight(model, target)
        assert bool((weight[old[target.name]] == 0).all())
        assert int((weight == 0).sum()) == done.dropped[target.name] == weight.numel() // 2
        assert pattern is None or bool(((weight == 0).view(-1, 4).sum(1) == 2).all())


def _zeros_are_exact(model: torch.nn.Module, dropped: dict[str, int]) -> None:
    for target in find_targets(model):
        weight = get_weight(model, target)
        assert torch.isfinite(weight).all()
        assert int((weight == 0).sum()) == dropped[target.name] == weight.numel() // 2


def test_a_matrix_that_is_not_positive_definite_is_damped_or_named() -> None:
    """Eight tokens, 64 inputs: at 1e-12 float32 knows no factor."""
    model = tiny_model()
    done = prune(model, allocate(sizes_only(model), 0.5), _tokens(1, 8),
                 refit=Refit(damping=1e-12))
    assert done.notes and all("damping" in note and note.startswith("model.layers.")
                              for note in done.notes)
    _zeros_are_exact(model, done.dropped)
    plain = tiny_model()
    assert prune(plain, allocate(sizes_only(plain), 0.5), _tokens(), refit=Refit()).notes == []


def test_damping_grows_until_there_is_a_factor() -> None:
    """One eigenvalue of a thousandth below zero: 1e-4 is not enough, ten times 1e-3 is."""
    seen = InputStatistics(4, gram=True)
    seen.gram = torch.diag(torch.tensor([1.0, 1.0, 2.004, -0.004]))
    target, dense = find_targets(tiny_model())[0], torch.eye(4)
    system = _System(_Moments(seen, torch.eye(4)), Refit(damping=1e-4))
    solved, note = system.solve(target, dense, dense, lambda _target, weight, _seen: weight)
    assert note == "re-fit with damping 0.01 instead of 0.0001"
    assert system.level == pytest.approx(0.01, rel=1e-3) and torch.isfinite(solved).all()


@pytest.mark.parametrize("mask", ["along", "fixed", "chosen"])
@pytest.mark.parametrize("method", ["wanda", "sparsegpt", "alps"])
def test_a_matrix_that_overflows_is_named_and_the_count_exact(mask: str, method: str) -> None:
    model = tiny_model(blocks=2)
    model.model.layers[1].post_attention_layernorm.weight *= 1e19
    done = prune(model, allocate(sizes_only(model), 0.5), _tokens(), method=method,
                 refit=Refit(mask=mask))
    named = {note.split(":")[0] for note in done.notes if "not re-fitted" in note}
    assert named == {f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down")}
    _zeros_are_exact(model, done.dropped)
