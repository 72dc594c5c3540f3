"""Damage and operations on a ladder of tokens and sparsities, on a tiny random model."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from video.tiny_video import noise, tiny_video_model

from neurosparse.budgets import Budget, allocate
from neurosparse.errors import InputError
from neurosparse.measure import sizes_only
from neurosparse.measure.joined_points import JoinedPoints, joined_points, pruned
from neurosparse.measure.operations import counted
from neurosparse.measure.video_answers import VideoAsked, Watching, calibration_prompts
from neurosparse.models import find_targets
from neurosparse.video import AskedScorer, Frames, FunctionScorer, family_of

FRAMES = [Frames(tuple(noise(3, seed=seed)), np.arange(3) / 2, 1.5) for seed in range(2)]


def _same(number: int) -> Frames:
    return FRAMES[number]


def _scorer(model: object) -> FunctionScorer:
    return FunctionScorer(lambda pictures, _: np.arange(1.0, len(pictures) + 1), "ramp")


@pytest.fixture(scope="module")
def watching() -> Watching:
    model, processor = tiny_video_model("llava-onevision")
    # Louder words: a random head is nearly indifferent, and nothing would be damaged.
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)
    return Watching(model, family_of(model), processor, _scorer, decoupling="off")


ASKED = [VideoAsked("ab"[i % 2], lambda i=i: _same(i % 2), f"what is w{i} ?", ("w1", "w2"),  # type: ignore[misc]
                    i % 2) for i in range(4)]


def _points(watching: Watching, folder: Path | None = None, *, mark: str = "",
            asked: list[VideoAsked] = ASKED) -> JoinedPoints:
    sizes = sizes_only(watching.model)
    return joined_points(
        watching, asked, tokens=(6, 48), sparsities=(0.0, 0.5), folder=folder, mark=mark,
        prompts=calibration_prompts(watching, ASKED[:2], (6, 48)),
        budget_of=lambda sparsity: allocate(sizes, sparsity))


def test_damage_and_operations(watching: Watching) -> None:
    before = {key: value.clone() for key, value in watching.model.state_dict().items()}
    found = _points(watching)
    assert all(torch.equal(value, before[key])
               for key, value in watching.model.state_dict().items())
    assert found.kl.shape == found.loss.shape == found.right.shape == (2, 2, 4)
    # 48 tokens are all that the unmodified model shows, but the scores share them otherwise.
    assert found.reference_tokens == 48 and np.all(found.kl >= 0)
    assert found.kl[:, 1].mean() > 0 and found.kl[0, 0].mean() > 0
    np.testing.assert_allclose(
        found.by_video()[..., 0], found.kl[..., [0, 2]].mean(axis=-1))
    assert set(np.unique(found.right)) <= {0.0, 1.0} and np.all(found.loss > 0)
    # Zeros save their own products and no others.
    looked = watching.look(ASKED[0], _scorer(None))
    targets = find_targets(watching.model)
    with torch.no_grad(), counted(watching.model, targets) as spent:
        watching.family.forward(watching.model, watching.prompt(looked, 48), use_cache=False)
    rows, weights = next(iter(spent.rows.values())), sum(target.size for target in targets)
    saved = found.flops[1, 0] - found.flops[1, 1]
    # The answer has up to four tokens, of which all but the last are read.
    assert rows <= saved / weights <= rows + 3 + 1  # questions differ by a word at most
    assert found.dense_flops == pytest.approx(found.flops[1, 0], rel=0.02)


def test_all_tokens_evenly_are_the_reference(watching: Watching) -> None:
    found = _points(watching.blind())
    np.testing.assert_allclose(found.kl[1, 0], 0, atol=1e-9)
    assert found.curves().damage[1, 0] == pytest.approx(0, abs=1e-9)
    cross = found.cross()
    np.testing.assert_allclose(cross.mean[1], 0, atol=1e-12)
    assert np.isfinite(cross.share)


def test_scoring_costs_though_scores_are_kept(watching: Watching, tmp_path: Path) -> None:
    def own(model: object) -> AskedScorer:
        return AskedScorer(model, watching.processor)

    plain = replace(watching, make_scorer=own)
    free = _points(watching)
    first, second = (_points(replace(plain, cache=tmp_path)) for _ in range(2))
    np.testing.assert_array_equal(first.flops, second.flops)
    np.testing.assert_array_equal(first.flops, _points(plain).flops)
    scoring = first.flops - free.flops
    assert np.all(scoring > 0)
    # Zeros save on scoring as well, the same at every budget.
    np.testing.assert_allclose(scoring[0], scoring[1])
    assert scoring[0, 1] < scoring[0, 0]


def test_finished_sparsities_are_kept(watching: Watching, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    first = _points(watching, tmp_path, mark="a")
    calls: list[float] = []

    def counting(given: Watching, prompts: object, budget: Budget, **options: object) -> object:
        calls.append(budget.total.kept)
        return pruned(given, prompts, budget, **options)  # type: ignore[arg-type]

    # The room's name for the function hides the module's.
    monkeypatch.setattr(sys.modules[joined_points.__module__], "pruned", counting)
    again = _points(watching, tmp_path, mark="a")
    assert not calls
    np.testing.assert_array_equal(again.kl, first.kl)
    np.testing.assert_array_equal(again.flops, first.flops)
    (tmp_path / "sparsity-0.5.npz").unlink()
    _points(watching, tmp_path, mark="a")
    assert calls == [0.5]
    _points(watching, tmp_path, mark="b")  # of another run: all anew
    assert calls == [0.5, 0.0, 0.5]


def test_what_is_refused(watching: Watching) -> None:
    with pytest.raises(InputError, match="0 questions"):
        _points(watching, asked=[])
    found = _points(watching, asked=[replace(ASKED[0], answer=None)])
    assert "loss" not in found.as_dict() and "kl" in found.as_dict()
    with pytest.raises(InputError, match="without a right answer"):
        found.curves("loss")
    with pytest.raises(InputError, match="kl or loss"):
        found.by_video("guess")
