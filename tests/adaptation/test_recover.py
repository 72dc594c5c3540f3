"""Recovery of cut models: what is merged is what was learnt, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from losa_cases import randomise, tiny_windows
from models.families import build, relative_error, tokens
from safetensors.torch import load_file, save_file
from structured.cases import logits, rates
from tiny import tiny_model

import neurosparse as ns
from neurosparse.adaptation import LosaOptions, LosaResult, TrainOptions, recover
from neurosparse.adaptation.learners import LowRank, masks_of
from neurosparse.errors import DivergenceError, InputError, ResumeError
from neurosparse.models import find_targets, get_weight, set_weight
from neurosparse.pruning.structured import drop_blocks, prune_structured
from neurosparse.sparse import is_uneven, save_uneven

DATA = tiny_windows(40, 32)
FAST = TrainOptions(learning_rate=2e-2)
CUTS: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"heads": "groups"}), ("llama", {"heads": "queries"}), ("mixtral", {}),
    ("qwen3", {"heads": "queries"}), ("phi3", {"heads": "queries"}), ("gemma3", {}),
    ("llama", {"heads": "groups", "compensate": "bias"}),
]


def cut_model(family: str = "llama", sparse: float = 0.0, **options: Any) -> Any:
    """A cut model, always the same; with some zeros at random where asked."""
    model = build(family).eval().requires_grad_(False)
    prune_structured(model, rates(0.25, 0.4, 0.55), tokens(), **options)
    generator = torch.Generator().manual_seed(1)
    for target in find_targets(model):
        weight = get_weight(model, target)
        keep = torch.rand(weight.shape, generator=generator) >= sparse
        set_weight(model, target, weight * keep)
    return model


def loud_tiny() -> Any:
    """The model that ``DATA`` is for, with blocks whose outputs count beside the embedding."""
    model = tiny_model(blocks=2)
    for target in find_targets(model):
        get_weight(model, target).mul_(6.0)
    return model


def cut_tiny() -> Any:
    """The same, cut."""
    model = loud_tiny()
    prune_structured(model, rates(0.3, 0.4), DATA[:4], heads="queries")
    return model


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(("family", "options"), CUTS)
def test_merged_is_what_was_learnt(family: str, options: dict[str, Any]) -> None:
    model = cut_model(family, **options)
    before, plain = weights_of(model), logits(model, tokens())
    targets = find_targets(model)
    learner = LowRank(model, targets, 4)
    learner.attach(masks_of(model, targets))
    assert relative_error(logits(model, tokens()), plain) == 0  # B is zero at first
    for parameter in learner.parameters():
        parameter.requires_grad_(True)
    randomise(model)
    unmerged = logits(model, tokens())
    learner.detach()
    after = weights_of(model)
    assert relative_error(logits(model, tokens()), unmerged) < 1e-5
    assert relative_error(unmerged, plain) > 1e-2
    assert {name: one.shape for name, one in after.items()} == {
        name: one.shape for name, one in before.items()}


@pytest.mark.parametrize("options", [{"heads": "groups"}, {"heads": "queries"}])
def test_the_change_is_of_low_rank_and_only_in_linears(options: dict[str, Any]) -> None:
    model = cut_model(**options)
    before = weights_of(model)
    done = recover(model, tokens().repeat(4, 1), rank=3, train=FAST)
    names = {f"{target.name}.weight" for target in find_targets(model)}
    assert done.sparsity == 0.0 and is_uneven(model)
    for name, value in model.state_dict().items():
        change = (value - before[name]).double()
        if name in names:
            found = torch.linalg.svdvals(change)
            assert found[0] > 1e-3 and float(found[3]) < 1e-5 * float(found[0]), name
        else:
            assert not bool(change.any()), name


@pytest.mark.parametrize("update", ["low-rank", "values"])
@pytest.mark.parametrize("family", ["llama", "phi3", "mixtral"])
def test_zeros_stay_zeros_of_a_sparse_and_cut_model(family: str, update: str) -> None:
    model = cut_model(family, sparse=0.6)
    before = {t.name: get_weight(model, t).clone() for t in find_targets(model)}
    zeros = sum(int((one == 0).sum()) for one in before.values())
    done = recover(model, tokens().repeat(4, 1), rank=4, update=update, train=FAST)
    assert done.sparsity == zeros / sum(one.numel() for one in before.values()) > 0.55
    changed = 0
    for target in find_targets(model):
        weight = get_weight(model, target)
        assert not bool(weight[before[target.name] == 0].any()), target.name
        changed += int((weight != before[target.name]).sum())
    assert changed > 0


def test_it_learns_and_forgets_no_width() -> None:
    """A text that repeats itself, before and after and on the way."""
    model, text = cut_tiny(), DATA[:1].repeat(80, 1)
    before = ns.measure.perplexity(model, text[:2]).value
    done = recover(model, text, train=FAST)
    after = ns.measure.perplexity(model, text[:2]).value
    assert done.losses[-1] < done.losses[0] - 0.5 and after < 0.6 * before
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_a_teacher_brings_it_back() -> None:
    text = DATA[:2].repeat(40, 1)
    model = cut_tiny()
    done = recover(model, text, teacher=loud_tiny(),
                   train=TrainOptions(learning_rate=1e-2, distill=1.0))
    assert done.losses[-1] < 0.5 * done.losses[0]


def test_a_model_that_lost_blocks_stays_of_its_class() -> None:
    model: Any = build("llama").requires_grad_(False)
    drop_blocks(model, [1])
    recover(model, tokens().repeat(4, 1), rank=4, train=FAST)
    assert not is_uneven(model) and len(model.model.layers) == 2


def test_ranks_are_no_larger_than_a_matrix() -> None:
    model = cut_model()
    done = recover(model, tokens().repeat(4, 1), rank=30)
    shapes = {target.name: min(30, *target.shape) for target in find_targets(model)}
    assert done.steps[0]["ranks"] == shapes and min(shapes.values()) < 30


_FRESH = """
import sys, torch, neurosparse as ns
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
torch.set_num_threads(1)
ns.register()
model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1] + "/cut", output_loading_info=True)
assert not any(info.values()), info
with torch.no_grad():
    found = model(load_file(sys.argv[1] + "/text.safetensors")["text"]).logits
save_file({"logits": found}, sys.argv[1] + "/logits.safetensors")
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_logits(tmp_path: Path) -> None:
    model = cut_model(heads="queries")
    recover(model, tokens().repeat(4, 1), rank=4, train=FAST)
    save_uneven(model, tmp_path / "cut")
    save_file({"text": tokens()}, tmp_path / "text.safetensors")
    subprocess.run([sys.executable, "-c", _FRESH, str(tmp_path)], check=True)
    found = load_file(tmp_path / "logits.safetensors")["logits"]
    assert relative_error(found, logits(model, tokens())) < 1e-6


class _Cut(Exception):
    """The plug was pulled."""


def _run(folder: Path, stop: int | None = None, **options: Any) -> tuple[Any, LosaResult]:
    def watch(info: dict[str, Any]) -> None:
        if info["step"] == stop:
            raise _Cut

    model = cut_tiny()
    done = recover(model, DATA, rank=4, dropout=0.1, every=3, train=FAST, folder=folder,
                   resume=True, watch=watch, **options)
    return model, done


def test_a_run_that_was_cut_off_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Three times, between checkpoints; curve and weights are the same bit for bit."""
    whole, one = _run(tmp_path / "whole")
    for stop in (2, 10, 17):
        with pytest.raises(_Cut):
            _run(tmp_path / "cut", stop)
    seen: list[int] = []
    model = cut_tiny()
    two = recover(model, DATA, rank=4, dropout=0.1, every=3, train=FAST, folder=tmp_path / "cut",
                  resume=True, watch=lambda info: seen.append(info["step"]))
    assert seen[0] == 16 and two.losses == one.losses
    assert all(map(torch.equal, whole.state_dict().values(), model.state_dict().values()))
    with pytest.raises(ResumeError, match="rank"):
        recover(cut_tiny(), DATA, rank=5, dropout=0.1, every=3, train=FAST,
                folder=tmp_path / "cut", resume=True)


def test_another_teacher_is_another_run(tmp_path: Path) -> None:
    taught = TrainOptions(distill=1.0)
    recover(cut_tiny(), DATA[:4], train=taught, teacher=tiny_model(blocks=2), folder=tmp_path)
    with pytest.raises(ResumeError, match="teacher"):
        recover(cut_tiny(), DATA[:4], train=taught, teacher=tiny_model(blocks=3), folder=tmp_path,
                resume=True)


def test_nan_stops_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="last checkpoint"):
        recover(cut_tiny(), DATA, folder=tmp_path, every=1,
                train=TrainOptions(learning_rate=1e30, warmup=0.0))
    assert (tmp_path / "state.safetensors").is_file()


@pytest.mark.parametrize("options", [
    {"steps": 2}, {"ranks": "error"}, {"pattern": "2:4"}, {"refit": 0.3}, {"regrow": True},
])
def test_what_only_pruning_has_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="without a sparsity"):
        LosaOptions(**{"sparsity": None, "steps": 1, "ranks": "equal", **options})


def test_bad_input() -> None:
    model = cut_tiny()
    before = weights_of(model)
    for options, said in (
            ({"train": TrainOptions(distill=1.0)}, "without a teacher"),
            ({"teacher": tiny_model(blocks=2)}, "no share of it"),
            ({"teacher": build("llama"), "train": TrainOptions(distill=1.0)}, "97 words"),
            ({"rank": 0}, "rank 0"), ({"update": "all"}, "update 'all'")):
        with pytest.raises(InputError, match=said):
            recover(model, DATA, **options)
    with pytest.raises(InputError, match="at least one batch"):
        recover(model, DATA[:1])
    with pytest.raises(InputError, match="int64"):
        recover(model, DATA.float())
    assert all(map(torch.equal, before.values(), model.state_dict().values()))
