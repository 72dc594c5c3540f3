"""Calibration on prompts, and log-probabilities of given answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from video.tiny_video import noise, tiny_video_model

from neurosparse.budgets import allocate
from neurosparse.errors import InputError
from neurosparse.measure import profile, sizes_only
from neurosparse.measure.video_answers import (
    VideoAsked,
    Watching,
    calibration_prompts,
    option_tokens,
)
from neurosparse.models import find_targets, get_weight
from neurosparse.pruning import prune
from neurosparse.sparse import load, save
from neurosparse.video import (
    AskedScorer,
    Frames,
    FunctionScorer,
    Prompt,
    family_of,
    load_processor,
)
from neurosparse.video.answer import answer_logs, generate, greedy
from neurosparse.video.reading import of_one_length, reading
from neurosparse.video.scorers.digest import weights_digest

FAMILIES = ("llava-onevision", "llava-next-video", "qwen2-vl", "qwen3-vl", "internvl", "smolvlm")


def _watching(name: str, *, own: bool = False) -> tuple[Watching, list[VideoAsked]]:
    model, processor = tiny_video_model(name)
    frames = Frames(tuple(noise(4)), np.arange(4) / 2, 2.0)

    def make(model: object) -> object:
        return (AskedScorer(model, processor) if own else
                FunctionScorer(lambda pictures, _: np.arange(1.0, len(pictures) + 1), "ramp"))

    asked = [VideoAsked("a", lambda: frames, f"what is w{i} ?", ("w1", "w2"), 0) for i in range(3)]
    return Watching(model, family_of(model), processor, make, decoupling="off"), asked


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_pruned_on_what_it_reads(name: str) -> None:
    watching, asked = _watching(name)
    prompts = calibration_prompts(watching, asked, (8, 12))
    assert len({len(prompt) for prompt in prompts}) > 1
    budget, dense = allocate(sizes_only(watching.model), 0.5), watching.model.state_dict()
    before = {key: value.clone() for key, value in dense.items()}
    with reading(watching.model, watching.family, prompts) as numbers:
        assert numbers.shape == (3, 1)
        done = prune(watching.model, budget, numbers, batch_size=1)
    assert done.sparsity == pytest.approx(0.5, abs=1e-3)
    assert "forward" not in watching.model.__dict__
    inside = {f"{target.name}.weight" for target in find_targets(watching.model)}
    for key, value in watching.model.state_dict().items():
        assert torch.equal(value, before[key]) == (key not in inside), key


def test_prompts_of_text_are_the_windows() -> None:
    """Of text alone the walk sees the same as with token ids, to the last bit of the masks."""
    watching, _ = _watching("llava-onevision")
    tokens = torch.arange(20, 44).reshape(3, 8)
    table = watching.model.get_input_embeddings()
    prompts = [Prompt(table(row[None]), torch.arange(8)[None], torch.zeros(1, 8, dtype=torch.bool))
               for row in tokens]
    budget = allocate(sizes_only(watching.model), 0.5)
    kept = []
    for given in (tokens, None):
        model, _ = tiny_video_model("llava-onevision")
        if given is not None:
            prune(model, budget, given, batch_size=1)
        else:
            with reading(model, watching.family, prompts) as numbers:
                prune(model, budget, numbers, batch_size=1)
        kept.append([get_weight(model, target).clone() for target in find_targets(model)])
    assert all(torch.equal(one, two) for one, two in zip(*kept, strict=True))


def test_evidence_of_rules_on_prompts() -> None:
    watching, asked = _watching("llava-onevision")
    prompts = of_one_length(calibration_prompts(watching, asked, (8, 12)))
    assert len({len(prompt) for prompt in prompts}) == 1
    with reading(watching.model, watching.family, prompts) as numbers:
        found = profile(watching.model, numbers, evidence=("propagation", "owl"), batch_size=1)
    rates = allocate(found, 0.5, rule="propagation")
    assert rates.mean() == pytest.approx(0.5, abs=1e-12) and np.ptp(rates.rates) > 0
    assert np.ptp(allocate(found, 0.5, rule="owl").rates) > 0


def test_a_scorer_that_is_the_model_is_read_too() -> None:
    watching, asked = _watching("llava-onevision", own=True)
    prompts = calibration_prompts(watching, asked, (8,))
    assert len(prompts) == 3 * (1 + 2)  # each question, and a frame in both orders


@pytest.mark.parametrize("count", [0, 10_000])
def test_a_number_of_prompts_that_is_refused(count: int) -> None:
    watching, asked = _watching("llava-onevision")
    prompts = calibration_prompts(watching, asked[:1], (8,)) * count
    with pytest.raises(InputError, match="prompts"), reading(
            watching.model, watching.family, prompts):
        pass
    assert "forward" not in watching.model.__dict__


@pytest.mark.parametrize("name", FAMILIES)
def test_an_answer_read_at_once_is_the_answer_said(name: str) -> None:
    watching, asked = _watching(name)
    family, model = watching.family, watching.model
    looked = watching.look(asked[0], watching.make_scorer(model))
    prompt = watching.prompt(looked, 12)
    said = greedy(family, model, watching.processor, prompt, max_new_tokens=4)
    logs = answer_logs(family, model, prompt, said)
    assert logs.shape == (len(said), model.get_input_embeddings().weight.shape[0])
    assert logs.argmax(-1).tolist() == said
    words = watching.processor.tokenizer.decode(said, skip_special_tokens=True).strip()
    assert generate(family, model, watching.processor, prompt, max_new_tokens=4) in (
        words, words.rsplit(" ", 1)[0])
    # The words before do not see those after.
    torch.testing.assert_close(answer_logs(family, model, prompt, said[:1]), logs[:1], rtol=1e-4,
                               atol=1e-4)


def test_what_begins_an_option() -> None:
    _, processor = tiny_video_model("llava-onevision")
    ids = processor.tokenizer.convert_tokens_to_ids
    assert option_tokens(processor, ("w1", "w2")) == [
        sorted([ids("A"), ids("w1")]), sorted([ids("B"), ids("w2")])]
    # A word that begins both tells nothing; a letter that is the other option's word neither.
    assert option_tokens(processor, ("w1 yes", "w1 no")) == [[ids("A")], [ids("B")]]
    assert option_tokens(processor, ("B", "w2")) == [[ids("A")], [ids("w2")]]
    # An option that is its own letter.
    assert option_tokens(processor, ("A", "B")) == [[ids("A")], [ids("B")]]


def test_watching_without_looking() -> None:
    watching, asked = _watching("llava-onevision")
    blind = replace(watching, decoupling="entities").blind()
    looked = blind.look(asked[0], blind.make_scorer(blind.model))
    assert blind.decoupling == "off" and np.all(looked.scores.scores == 1)
    assert np.ptp(looked.assign(12, watching.sharing).tokens) == 0


def test_packed_weights_tell_models_apart(tmp_path: Path) -> None:
    """Scores are cached by the weights, which are buffers in a packed model."""
    digests = set()
    for rate in (0.5, 0.6):
        model, processor = tiny_video_model("llava-onevision")
        prune(model, allocate(sizes_only(model), rate), torch.arange(20, 44).reshape(3, 8))
        save(model, tmp_path / f"{rate}", tokenizer=processor)
        digests.add(weights_digest(load(tmp_path / f"{rate}")))
        assert load_processor(tmp_path / f"{rate}").image_processor is not None
    assert len(digests) == 2
