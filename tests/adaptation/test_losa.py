"""The loop: exact sparsity, nested masks, learning, resuming bit for bit."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from losa_cases import sparse_gpt2, tiny_windows
from tiny import tiny_model

import neurosparse as ns
from neurosparse.adaptation import LosaResult, TrainOptions, losa
from neurosparse.adaptation.distillation import blocks_to_dense
from neurosparse.adaptation.training import Training
from neurosparse.errors import BudgetError, DivergenceError, InputError, ResumeError

DATA = tiny_windows(40, 32)
FAST = TrainOptions(learning_rate=5e-3)


def _run(model: torch.nn.Module | None = None, **options: Any) -> tuple[Any, LosaResult]:
    model = model or tiny_model(blocks=2)
    options = {"sparsity": 0.7, "windows": 8, "rank": 6, "most": 8, "train": FAST, **options}
    return model, losa(model, DATA, **options)


def _sparsity(model: torch.nn.Module) -> float:
    targets = ns.models.find_targets(model)
    zero = sum(int((ns.models.get_weight(model, t) == 0).sum()) for t in targets)
    return zero / sum(t.size for t in targets)


def _asked(model: torch.nn.Module, rate: float) -> float:
    total = sum(t.size for t in ns.models.find_targets(model))
    return round(rate * total) / total


WAYS: dict[str, dict[str, Any]] = {
    "losa": {},
    "uniform": {"rule": "uniform", "ranks": "equal"},
    "propagation": {"rule": "propagation", "ranks": "damage", "steps": 2},
    "once, re-fit": {"rule": "uniform", "steps": 1, "refit": 0.3},
    "kept values": {"rule": "uniform", "update": "values", "ranks": "equal"},
    "sparsegpt": {"method": "sparsegpt"},
    "regrow": {"rule": "uniform", "regrow": True},
    "distilled": {"train": TrainOptions(learning_rate=5e-3, distill=0.5)},
    "dropout": {"dropout": 0.1, "steps": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_ends_at_exactly_the_asked_sparsity(way: str) -> None:
    model, done = _run(**WAYS[way])
    assert _sparsity(model) == done.sparsity == _asked(model, 0.7)
    for target in ns.models.find_targets(model):  # plain again, and zero wherever the mask is
        weight = ns.models.get_weight(model, target)
        assert not bool(weight[~done.masks[target.name]].any())
    steps = WAYS[way].get("steps", 5)
    assert [one["asked"] for one in done.steps] == ns.adaptation.cubic(0.7, steps)
    assert len(done.losses) == 20 and all(map(torch.isfinite, torch.tensor(done.losses)))


@pytest.mark.parametrize("way", ["propagation", "losa", "values"])
def test_gpt2_in_every_recipe(way: str) -> None:
    """Its ``Conv1D`` keep their weights as (in, out)."""
    chosen = ns.adaptation.from_recipe("losa" if way == "values" else way,
                                       update="values" if way == "values" else "low-rank")
    shapes = {name: one.shape for name, one in sparse_gpt2().named_parameters()}
    model, done = _run(sparse_gpt2(0.0), **{**chosen, "steps": min(chosen["steps"], 2)})
    assert _sparsity(model) == done.sparsity == _asked(model, 0.7)
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        assert weight.shape == target.shape == done.masks[target.name].shape
        assert not bool(weight[~done.masks[target.name]].any())
    assert {name: one.shape for name, one in model.named_parameters()} == shapes
    assert len(done.losses) > 0 and all(map(torch.isfinite, torch.tensor(done.losses)))


def test_masks_are_nested() -> None:
    """With the representation rule, whose boxes overlap in the last steps (papers.md (f) 5)."""
    _, done = _run()
    for name in done.steps[0]["rates"]:
        rates = [one["rates"][name] for one in done.steps]
        assert all(a <= b for a, b in itertools.pairwise(rates)), name


def test_ranks_follow_errors_and_sum_exactly() -> None:
    _, done = _run(tiny_model(blocks=4), rank=6)
    for step, mean in zip(done.steps, (2, 3, 4, 5, 6), strict=True):
        by_block = {int(name.split(".")[2]): rank for name, rank in step["ranks"].items()}
        assert sum(by_block.values()) == 4 * mean
        order = sorted(range(4), key=lambda block: step["errors"][block])
        ranked = [by_block[block] for block in order]
        assert ranked == sorted(ranked)


def test_patterns() -> None:
    model, done = _run(pattern="2:8", rule="uniform", steps=3, ranks="equal", sparsity=0.75)
    assert done.sparsity == 0.75
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        kept = (weight != 0).view(weight.shape[0], -1, 8).sum(-1)
        assert int(kept.max()) <= 2


def test_mixed_patterns() -> None:
    model, done = _run(pattern="n:8", steps=2, ranks="equal", sparsity=0.7,
                       rule="representation", rule_options={"width": 0.2})
    kinds = set()
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        kinds.add(int((weight != 0).view(weight.shape[0], -1, 8).sum(-1).max()))
    assert len(kinds) > 1 and abs(done.sparsity - 0.7) < 0.03


def test_it_learns() -> None:
    """A text that repeats itself: a nat below random words; the small head allows little more."""
    text = DATA[:1].repeat(80, 1)
    model = tiny_model(blocks=2)
    done = losa(model, text, sparsity=0.6, steps=2, rule="uniform", ranks="equal", windows=4,
                train=TrainOptions(learning_rate=2e-2))
    assert done.losses[-1] < done.losses[0] - 1.0


def test_distillation_brings_the_dense_model_back() -> None:
    dense, text = tiny_model(blocks=2), DATA[:2].repeat(40, 1)
    model = tiny_model(blocks=2)
    model, done = model, losa(
        model, text, teacher=dense, sparsity=0.6, steps=1, rule="uniform", ranks="equal",
        windows=2, train=TrainOptions(learning_rate=1e-2, distill=1.0))
    assert done.losses[-1] < 0.7 * done.losses[0]


def test_distilled_blocks_come_nearer_to_the_dense_ones() -> None:
    """Against the same run that only reads the text."""
    dense, text = tiny_model(blocks=2), DATA[:2].repeat(40, 1)
    ends = []
    for share in (0.0, 5.0):
        model = tiny_model(blocks=2)
        losa(model, text, teacher=dense, sparsity=0.6, steps=1, rule="uniform", ranks="equal",
             windows=2, train=TrainOptions(learning_rate=1e-2, distill_blocks=share))
        hidden = [one(text[:2], output_hidden_states=True).hidden_states[1:]
                  for one in (model, dense)]
        ends.append(float(blocks_to_dense(*hidden)))
    assert ends[1] < 0.9 * ends[0]


def test_same_seed_same_bits() -> None:
    first, one = _run(steps=2, dropout=0.1)
    second, two = _run(steps=2, dropout=0.1)
    assert one.losses == two.losses
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    state = torch.random.get_rng_state()
    _run(steps=1, rule="uniform", ranks="equal")
    assert torch.equal(torch.random.get_rng_state(), state)


_SCRIPT = """
import json, sys, torch
sys.path.insert(0, {tests!r})
from losa_cases import tiny_windows
from tiny import tiny_model
from neurosparse.adaptation import TrainOptions, losa
torch.set_num_threads(1)
model = tiny_model(blocks=2)
done = losa(model, tiny_windows(40, 32), sparsity=0.7, windows=8, rank=6, most=8, every=3,
            update=sys.argv[2], ranks="equal" if sys.argv[2] == "values" else "error",
            train=TrainOptions(learning_rate=5e-3), dropout=0.1, folder=sys.argv[1], resume=True,
            watch=lambda info: print(info["step"], flush=True))
digest = [float(p.double().sum()) for p in model.parameters()]
print(json.dumps({{"losses": done.losses, "digest": digest}}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("update", ["low-rank", "values"])
def test_killed_and_resumed_is_the_same_run(tmp_path: Path, update: str) -> None:
    """SIGKILL at three places; the loss curve and the weights are those of an undisturbed run."""
    script = tmp_path / "run.py"
    script.write_text(_SCRIPT.format(tests=str(Path(__file__).resolve().parent.parent)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(folder: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, str(script), folder, update], text=True,
                                stdout=subprocess.PIPE, env=environment)

    whole = start(str(tmp_path / "whole")).communicate(timeout=300)[0].splitlines()
    for stop in ("2", "9", "17"):
        run = start(str(tmp_path / "cut"))
        assert run.stdout is not None
        for line in run.stdout:
            if line.strip() == stop:
                os.kill(run.pid, signal.SIGKILL)
                break
        run.wait()
    last = start(str(tmp_path / "cut")).communicate(timeout=300)[0].splitlines()
    assert int(last[0]) > 9  # it went on
    assert json.loads(last[-1]) == json.loads(whole[-1])


def test_resume_refuses_another_run(tmp_path: Path) -> None:
    _run(steps=1, rule="uniform", ranks="equal", folder=tmp_path)
    with pytest.raises(ResumeError, match="unfinished work"):
        _run(steps=1, rule="uniform", ranks="equal", folder=tmp_path)
    with pytest.raises(ResumeError, match="steps"):
        _run(steps=2, rule="uniform", ranks="equal", folder=tmp_path, resume=True)


def test_nan_stops_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="last checkpoint"):
        _run(steps=1, rule="uniform", ranks="equal", folder=tmp_path, every=1,
             train=TrainOptions(learning_rate=1e30, warmup=0.0))
    assert (tmp_path / "state.safetensors").is_file()


def test_bad_input() -> None:
    model, _ = _run(steps=1, rule="uniform", ranks="equal", sparsity=0.8)
    with pytest.raises(InputError, match="less sparse"):
        losa(model, DATA, sparsity=0.5)
    with pytest.raises(InputError, match="int64"):
        losa(tiny_model(), DATA.float(), sparsity=0.5)
    with pytest.raises(InputError, match="rank 20"):
        losa(tiny_model(), DATA, sparsity=0.5, rank=20)
    with pytest.raises(InputError, match="ranks by damage"):
        losa(tiny_model(), DATA, sparsity=0.5, ranks="damage")
    with pytest.raises(InputError, match="a teacher"):
        Training(model, [], 1, TrainOptions(distill=1.0))
    with pytest.raises(InputError, match="batches"):
        losa(tiny_model(), DATA[:4], sparsity=0.5, steps=5)


def test_a_profile_that_is_given_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(blocks=2)
    found = ns.measure.profile(model, DATA[:8],
                               evidence=[ns.measure.PropagationCollector(0.7)])
    ways = {"rule": "propagation", "ranks": "damage", "steps": 1}
    _, one = _run(**ways)
    monkeypatch.setattr("neurosparse.adaptation.rates.profile",
                        lambda *_a, **_k: pytest.fail("measured"))
    _, two = _run(profile=found, **ways)
    assert one.losses == two.losses
    with pytest.raises(BudgetError, match="a profile made for"):
        _run(tiny_model(blocks=3), profile=found, **ways)


def test_a_step_watches() -> None:
    seen: list[dict[str, Any]] = []
    _run(steps=2, watch=seen.append)
    assert [one["step"] for one in seen] == list(range(1, 21))
    assert seen[-1]["rank"] == 6 and seen[0]["memory_bytes"] > 1e6
