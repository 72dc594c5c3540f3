"""RIA, Wanda's variant, DSnoT, ALPS and N:M: what each promises, on random linears and a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model

from neurosparse.budgets import allocate
from neurosparse.errors import InputError
from neurosparse.measure import profile, sizes_only
from neurosparse.models import find_targets, get_weight, set_weight
from neurosparse.pruning import (
    METHODS,
    InputStatistics,
    Pattern,
    Refit,
    find_method,
    lowest_by_group,
    lowest_by_row,
    masked_least_squares,
    prune,
    sparse_least_squares,
)
from neurosparse.pruning.choose import prune_linear
from neurosparse.pruning.wanda_variant import lowest_by_share


def _linear(rows: int, columns: int, seed: int, tokens: int = 200
            ) -> tuple[torch.Tensor, torch.Tensor, InputStatistics]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=generator)
    inputs = torch.randn(tokens, columns, generator=generator) @ mix + torch.randn(
        columns, generator=generator)
    seen = InputStatistics(columns, gram=True)
    seen.add(inputs)
    return torch.randn(rows, columns, generator=generator), inputs, seen


def _tokens() -> torch.Tensor:
    return torch.randint(0, 100, (4, 24), generator=torch.Generator().manual_seed(5))


@given(st.integers(1, 9), st.integers(1, 30), st.floats(0, 1), st.integers(0, 99))
def test_variant_counts_are_exact_and_shares_equal(rows: int, columns: int, rate: float,
                                                   seed: int) -> None:
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) ** 3
    drop = round(rate * scores.numel())
    keep = lowest_by_share(scores, drop)
    assert int((~keep).sum()) == drop
    part = scores.double() / scores.double().sum(1, keepdim=True)
    given_up = (part * ~keep).sum(1)
    following = torch.where(keep, part, torch.inf).amin(1)
    # No row could give its next weight and still have given less than another has.
    assert bool((given_up.max() <= given_up + following + 1e-9).all())


@given(st.integers(1, 4), st.integers(1, 8), st.floats(0, 1), st.integers(0, 99))
def test_variant_counts_rows_without_a_sum(rows: int, columns: int, rate: float, seed: int
                                           ) -> None:
    chosen = torch.randint(0, 4, (rows, columns), generator=torch.Generator().manual_seed(seed))
    scores = torch.tensor([0.0, 1.0, torch.inf, torch.nan])[chosen]
    drop = round(rate * scores.numel())
    assert int((~lowest_by_share(scores, drop)).sum()) == drop


def test_variant_on_equal_scores() -> None:
    assert int((~lowest_by_share(torch.ones(3, 5), 7)).sum()) == 7
    assert int((~lowest_by_share(torch.zeros(3, 5), 7)).sum()) == 7


def test_ria_by_hand() -> None:
    weight, inputs, seen = _linear(3, 4, 1)
    size = weight.abs().numpy()
    norm = np.linalg.norm(inputs.numpy(), axis=0)
    expected = (size / size.sum(0) + size / size.sum(1, keepdims=True)) * np.sqrt(norm)
    assert np.allclose(find_method("ria").scores(weight, seen).numpy(), expected, rtol=1e-5)
    assert torch.isfinite(find_method("ria").scores(torch.zeros(3, 4), seen)).all()


def test_statistics_have_mean_and_variance() -> None:
    _, inputs, seen = _linear(1, 6, 2)
    assert torch.allclose(seen.mean.float(), inputs.mean(0), atol=1e-4)
    assert torch.allclose(seen.variance.float(), inputs.var(0, unbiased=False), rtol=1e-4)


@given(st.integers(1, 6), st.integers(4, 24), st.floats(0.2, 0.8), st.integers(0, 30))
def test_dsnot_lowers_the_mean_error_of_every_row(rows: int, columns: int, rate: float,
                                                  seed: int) -> None:
    weight, _, seen = _linear(rows, columns, seed)
    drop = round(rate * weight.numel())
    before = lowest_by_row(find_method("wanda").scores(weight, seen), drop)
    after = find_method("dsnot").mask(weight, seen, drop)  # type: ignore[attr-defined]
    assert torch.equal(before.sum(1), after.sum(1))
    share = weight * seen.mean.float()
    error = [(share * ~mask).sum(1).abs() for mask in (before, after)]
    assert bool((error[1] <= error[0] + 1e-5).all())


def test_dsnot_moves_at_all() -> None:
    weight, _, seen = _linear(16, 32, 3)
    drop = weight.numel() // 2
    before = lowest_by_row(find_method("wanda").scores(weight, seen), drop)
    after = find_method("dsnot").mask(weight, seen, drop)  # type: ignore[attr-defined]
    share = weight * seen.mean.float()
    assert float((share * ~after).sum(1).abs().mean()) < 0.3 * float(
        (share * ~before).sum(1).abs().mean())


@given(st.integers(1, 6), st.integers(2, 20), st.floats(0, 0.95), st.integers(0, 30))
def test_splitting_counts_are_exact(rows: int, columns: int, rate: float, seed: int) -> None:
    weight, _, seen = _linear(rows, columns, seed)
    assert seen.gram is not None
    gram = seen.gram + torch.diag(seen.gram.diagonal() * 0.01)
    drop = round(rate * weight.numel())
    found = sparse_least_squares(gram, weight @ gram, weight, drop)
    assert int((found == 0).sum()) >= drop and torch.isfinite(found).all()
    if drop == 0:
        assert torch.allclose(found, weight, atol=1e-3)


def test_splitting_beats_sparsegpt_and_is_near_the_best_mask() -> None:
    """Against SparseGPT over many linears; against all masks where they can be counted."""
    ours = theirs = 0.0
    for seed in range(10):
        weight, inputs, seen = _linear(12, 24, seed)
        drop = weight.numel() // 2
        both = [find_method(name).solve(weight, seen, drop)[0]  # type: ignore[attr-defined]
                for name in ("alps", "sparsegpt")]
        errors = [float((inputs @ (found - weight).T).square().sum()) for found in both]
        ours, theirs = ours + errors[0], theirs + errors[1]
    assert ours < 0.9 * theirs
    weight, inputs, seen = _linear(1, 8, 77)
    assert seen.gram is not None
    best = min(_error_of(weight, seen.gram, bits) for bits in range(256) if bits.bit_count() == 4)
    found = find_method("alps").solve(weight, seen, 4)[0]  # type: ignore[attr-defined]
    assert float((inputs @ (found - weight).T).square().sum()) < 1.5 * best


def _error_of(weight: torch.Tensor, gram: torch.Tensor, bits: int) -> float:
    mask = torch.tensor([[bool(bits >> at & 1) for at in range(8)]])
    solved = masked_least_squares(gram, weight @ gram, mask, weight * mask)
    return float(((solved - weight) @ gram @ (solved - weight).T)[0, 0])


@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from([(2, 4), (4, 8), (1, 4), (3, 8)]),
       st.integers(0, 20))
def test_patterns_keep_n_of_every_group(rows: int, groups: int, pattern: tuple[int, int],
                                        seed: int) -> None:
    keep, group = pattern
    scores = torch.rand(rows, groups * group, generator=torch.Generator().manual_seed(seed))
    mask = lowest_by_group(scores, group, rows * groups * (group - keep))
    parts = mask.view(-1, group)
    assert bool((parts.sum(1) == keep).all())
    values = scores.view(-1, group)
    assert bool((torch.where(parts, values, torch.inf).amin(1)
                 >= torch.where(parts, -torch.inf, values).amax(1)).all())


@pytest.mark.parametrize("method", ["wanda", "ria", "sparsegpt", "magnitude", "dsnot"])
def test_a_model_is_pruned_two_of_four(method: str) -> None:
    model = tiny_model()
    prune(model, allocate(sizes_only(model), 0.5), _tokens(), method=method, pattern="2:4")
    for target in find_targets(model):
        parts = (get_weight(model, target) != 0).view(-1, 4)
        assert bool((parts.sum(1) == 2).all()), target.name


def test_mixed_n_of_eight() -> None:
    model = tiny_model()
    found = profile(model, _tokens(), evidence=("owl",))
    budget = allocate(found, 0.6, rule="owl", multiple=8)
    prune(model, budget, _tokens(), method="sparsegpt", pattern="n:8")
    kept = {int(n) for target in find_targets(model)
            for n in (get_weight(model, target) != 0).view(-1, 8).sum(1)}
    assert len(kept) >= 2


def test_patterns_that_cannot_be() -> None:
    model = tiny_model()
    with pytest.raises(InputError, match=r"layers\.0.*multiple of 1/8"):
        prune(model, allocate(sizes_only(model), 0.6), _tokens(), pattern="n:8")
    with pytest.raises(InputError, match="drops 1 of 4"):
        prune(model, allocate(sizes_only(model), 0.25), _tokens(), pattern="2:4")
    with pytest.raises(InputError, match="multiple of 3"):
        prune(model, allocate(sizes_only(model), 0.5), _tokens(), pattern="1:3")
    for wrong in ("4:2", "2", "x:4", "0:4"):
        with pytest.raises(InputError, match="pattern"):
            Pattern.read(wrong)
    assert str(Pattern.read("N:8")) == "n:8" and Pattern.read("2:4").sparsity == 0.5


@pytest.mark.parametrize("method", ["wanda", "ria", "sparsegpt", "wanda-variant"])
@pytest.mark.parametrize("pattern", [None, "2:4"])
def test_old_zeros_stay(method: str, pattern: str | None) -> None:
    if method == "wanda-variant" and pattern:
        return
    model = tiny_model()
    generator = torch.Generator().manual_seed(1)
    old = {}
    for target in find_targets(model):
        weight = get_weight(model, target)
        old[target.name] = torch.rand(weight.shape, generator=generator) < 0.2
        set_weight(model, target, weight.masked_fill(old[target.name], 0.0))
    prune(model, allocate(sizes_only(model), 0.5), _tokens(), method=method, pattern=pattern,
          keep_zeros=True)
    for target in find_targets(model):
        weight = get_weight(model, target)
        assert bool((weight[old[target.name]] == 0).all())
        assert float((weight == 0).float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("method", ["wanda", "wanda-variant", "ria", "dsnot"])
def test_half_precision_weights_have_scores_in_float32(method: str) -> None:
    """A norm of 141,000 is no float16: a zero weight times it must score zero, and go first."""
    weight = torch.tensor([[0.0, 0.5, 0.6, 0.7]]).half()
    inputs = torch.ones(20000, 4)
    inputs[:, :2] = 1000.0
    seen = InputStatistics(4)
    seen.add(inputs)
    found, _ = prune_linear(weight, seen, 2, METHODS[method])
    assert found.dtype == torch.float16
    assert torch.equal(found, weight * torch.tensor([0.0, 1.0, 0.0, 1.0]).half())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_scores_are_in_the_dtype_of_other_weights(dtype: torch.dtype) -> None:
    """Measured masks of such models are made of these very numbers, ties included."""
    weight, _, seen = _linear(3, 8, 1)
    scores = find_method("wanda").scores(weight.to(dtype), seen)
    assert scores.dtype == dtype
    assert torch.equal(scores, weight.to(dtype).abs() * seen.norm.to(dtype))


def test_splitting_does_not_know_how_large_weights_are() -> None:
    """Squares of 2**60 times the Gram matrix are beyond float32; the solution is not."""
    weight, _, seen = _linear(4, 8, 1)
    small, _ = prune_linear(weight, seen, 16, METHODS["alps"])
    large, note = prune_linear(weight * 2.0**60, seen, 16, METHODS["alps"])
    assert note is None and torch.equal(large, small * 2.0**60)


def test_splitting_without_a_solution_goes_by_the_diagonal_and_says_why() -> None:
    weight, _, seen = _linear(4, 8, 1)
    assert seen.gram is not None
    found, note = prune_linear(weight * 1e36, seen, 16, METHODS["alps"])
    assert note is not None and "weights up to" in note and int((found == 0).sum()) == 16
    for wrong in (float("nan"), float("inf")):
        seen.gram[1, 2] = seen.gram[2, 1] = wrong
        found, note = prune_linear(weight, seen, 16, METHODS["alps"])
        assert note is not None and note.startswith("Gram matrix not finite")
        assert torch.equal(found != 0, lowest_by_row(METHODS["wanda"].scores(weight, seen), 16))
        with pytest.raises(InputError, match="not finite"):
            sparse_least_squares(seen.gram, weight, weight, 16)


def test_solvers_refuse_what_they_cannot() -> None:
    weight, _, seen = _linear(4, 8, 1)
    with pytest.raises(InputError, match="neither"):
        find_method("alps").solve(weight, seen, 16, group=4)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="Gram"):
        find_method("alps").solve(weight, InputStatistics(8), 16)  # type: ignore[attr-defined]
    model = tiny_model()
    with pytest.raises(InputError, match="dsnot with keep_zeros"):
        prune(model, allocate(sizes_only(model), 0.5), _tokens(), method="dsnot", keep_zeros=True)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_prunes_exactly(method: str) -> None:
    model = tiny_model(blocks=2)
    done = prune(model, allocate(sizes_only(model), 0.47), _tokens(), method=method)
    for target in find_targets(model):
        assert int((get_weight(model, target) == 0).sum()) == done.dropped[target.name]


def test_a_chosen_mask_refits_better() -> None:
    """Measured where the re-fit works: hidden states after the last block against dense ones."""
    dense = tiny_model()
    wanted = dense.model(input_ids=_tokens()).last_hidden_state
    errors = []
    for mask in ("fixed", "chosen"):
        model = tiny_model()
        prune(model, allocate(sizes_only(model), 0.6), _tokens(), refit=Refit(mask=mask))
        errors.append(float((model.model(input_ids=_tokens()).last_hidden_state - wanted)
                            .square().sum()))
    assert errors[1] < errors[0]
