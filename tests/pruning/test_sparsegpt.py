"""SparseGPT: exact counts, least squares where it must be that, and what happens to bad inputs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model

from neurosparse.budgets import allocate
from neurosparse.errors import InputError
from neurosparse.measure import sizes_only
from neurosparse.models import find_targets, get_weight
from neurosparse.pruning import InputStatistics, find_method, lowest_by_row, prune
from neurosparse.pruning.sparsegpt import SparseGPT, inverse_factor


def _case(rows: int, width: int, tokens: int, seed: int
          ) -> tuple[torch.Tensor, torch.Tensor, InputStatistics]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator)
    inputs = torch.randn(tokens, width, generator=generator) @ mix
    statistics = InputStatistics(width, gram=True)
    statistics.add(inputs)
    return torch.randn(rows, width, generator=generator), inputs, statistics


@given(st.integers(1, 8), st.integers(1, 40), st.floats(0, 1), st.integers(1, 50),
       st.integers(1, 50))
def test_counts_are_exact(rows: int, width: int, rate: float, block: int, seed: int) -> None:
    weight, _, statistics = _case(rows, width, 2 * width + 3, seed)
    drop = round(rate * weight.numel())
    found, note = SparseGPT(block).solve(weight, statistics, drop)
    assert int((found == 0).sum()) == drop and note is None
    assert torch.isfinite(found).all()


def test_what_stays_is_the_least_squares_solution() -> None:
    """Dropped columns in front: no kept weight is frozen before the last error is known."""
    weight, inputs, statistics = _case(5, 12, 200, 1)
    weight[:, :4] *= 1e-3
    found, _ = SparseGPT(damping=1e-7).solve(weight, statistics, 20)
    assert torch.all(found[:, :4] == 0)
    target = inputs.double() @ weight.double().T
    expected = torch.linalg.lstsq(inputs[:, 4:].double(), target).solution.T
    assert torch.allclose(found[:, 4:].double(), expected, atol=1e-4)


def test_blocks_do_not_change_a_mask_that_is_clear() -> None:
    weight, _, statistics = _case(4, 24, 100, 2)
    weight[:, ::2] *= 1e-4
    whole, _ = SparseGPT(24).solve(weight, statistics, 48)
    parts, _ = SparseGPT(6).solve(weight, statistics, 48)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_it_reconstructs_better_than_wanda() -> None:
    """Greedy, so not in every case: over many the error is below Wanda's."""
    ours = theirs = 0.0
    for seed in range(20):
        weight, inputs, statistics = _case(16, 32, 200, seed)
        inputs /= inputs.norm()
        drop = weight.numel() // 2
        found, _ = SparseGPT().solve(weight, statistics, drop)
        keep = lowest_by_row(find_method("wanda").scores(weight, statistics), drop)
        ours += float((inputs @ (found - weight).T).square().sum())
        theirs += float((inputs @ (weight * ~keep).T).square().sum())
    assert ours < 0.95 * theirs


def test_uncorrelated_inputs_leave_the_kept_weights_alone() -> None:
    weight = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    statistics = InputStatistics(10, gram=True)
    statistics.add(torch.diag(torch.linspace(1, 2, 10)))
    found, _ = SparseGPT(damping=1e-9).solve(weight, statistics, 30)
    kept = found != 0
    assert torch.allclose(found[kept], weight[kept], atol=1e-6)


def test_rank_short_and_never_seen_features() -> None:
    weight, inputs, _ = _case(4, 20, 5, 3)
    inputs[:, 7] = 0
    statistics = InputStatistics(20, gram=True)
    statistics.add(inputs)
    found, note = SparseGPT().solve(weight, statistics, 40)
    assert torch.isfinite(found).all() and int((found == 0).sum()) == 40 and note is None
    assert inverse_factor(torch.zeros(3, 3), 0.01)[0] is not None


def test_damping_grows_and_then_gives_in() -> None:
    weight, _, statistics = _case(4, 6, 20, 4)
    assert statistics.gram is not None
    statistics.gram -= 0.3 * torch.eye(6) * statistics.gram.diagonal().mean()
    found, note = SparseGPT().solve(weight, statistics, 12)
    assert note is not None and "damping" in note and int((found == 0).sum()) == 12
    statistics.gram[0, 0] = float("nan")
    found, note = SparseGPT().solve(weight, statistics, 12)
    assert note is not None and "diagonal" in note
    assert torch.all((found == 0) | (found == weight)) and int((found == 0).sum()) == 12
    with pytest.raises(InputError, match="Gram"):
        SparseGPT().solve(weight, InputStatistics(6), 3)
    with pytest.raises(InputError, match="inputs"):
        SparseGPT().scores(weight, None)


def test_a_model_is_pruned_exactly_and_notes_name_the_linear() -> None:
    tokens = torch.randint(0, 100, (4, 24), generator=torch.Generator().manual_seed(5))
    model = tiny_model()
    done = prune(model, allocate(sizes_only(model), 0.5), tokens, method="sparsegpt")
    for target in find_targets(model):
        assert int((get_weight(model, target) == 0).sum()) == done.dropped[target.name]
    assert done.notes == []
    broken = tiny_model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurosparse.pruning.sparsegpt.inverse_factor",
                      lambda gram, damping: (None, 100.0))
        notes = prune(broken, allocate(sizes_only(broken), 0.5), tokens, method="sparsegpt").notes
    assert len(notes) == 21 and notes[0].startswith("model.layers.0.self_attn")


@given(st.integers(1, 6), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1),
       st.integers(1, 50), st.booleans(), st.integers(1, 50))
def test_old_zeros_wherever_they_are_do_not_change_the_count(
        rows: int, width: int, rate: float, old: float, block: int, late: bool, seed: int) -> None:
    """Blocks leave room for the zeros of later ones; more zeros than may go all stay."""
    weight, _, statistics = _case(rows, width, 2 * width + 3, seed)
    gone = torch.rand(rows, width, generator=torch.Generator().manual_seed(seed)) < old
    if late:
        gone[:, : width // 2] = False
    weight[gone] = 0.0
    drop = round(rate * weight.numel())
    found, _ = SparseGPT(block).solve(weight, statistics, drop, allowed=weight != 0)
    assert bool((found[gone] == 0).all())
    assert int((found == 0).sum()) == max(drop, int(gone.sum()))


def test_zeros_in_the_last_columns() -> None:
    """Half of all entries, half of them asked for: nothing else may go (the audit's case)."""
    weight, _, statistics = _case(8, 256, 600, 1)
    weight[:, 128:] = 0.0
    found, _ = SparseGPT().solve(weight, statistics, 1024, allowed=weight != 0)
    assert torch.equal(found != 0, weight != 0)


def test_nothing_forbidden_is_the_same_bit_for_bit() -> None:
    weight, _, statistics = _case(7, 300, 700, 2)
    plain, _ = SparseGPT().solve(weight, statistics, 999)
    allowed, _ = SparseGPT().solve(weight, statistics, 999, allowed=weight != 0)
    assert torch.equal(plain, allowed)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (3, 4)])
def test_the_weight_given_is_left_alone(shape: tuple[int, int]) -> None:
    weight, _, statistics = _case(*shape, 30, 3)
    before = weight.clone()
    SparseGPT().solve(weight, statistics, weight.numel() // 2)
    assert torch.equal(weight, before)


def test_the_diagonal_keeps_old_zeros_and_the_count() -> None:
    weight, _, statistics = _case(4, 6, 20, 4)
    assert statistics.gram is not None
    statistics.gram[0, 0] = float("nan")
    weight[0] = 0.0  # more than the row's share
    found, note = SparseGPT().solve(weight, statistics, 12, allowed=weight != 0)
    assert note is not None and int((found == 0).sum()) == 12
