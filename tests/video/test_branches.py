"""All ways of asking about a frame read at once: the same scores, or the plain way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from video.tiny_video import CLASSES, noise, tiny_video_model

from neurosparse.video import AskedScorer, Decoupled, Family, family_of
from neurosparse.video.families import Prompt
from neurosparse.video.processor import VideoProcessor
from neurosparse.video.scorers.branches import branches_of, pad_branches

QUESTION = Decoupled("what is seen last ?")
LISTED = Decoupled("what is seen last ?", entities=("w1", "w2"))


def tokens_read(model: Any) -> list[tuple[int, int]]:
    """Rows and tokens that the decoder reads from now on."""
    seen: list[tuple[int, int]] = []
    model.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["inputs_embeds"].shape[:2])),
        with_kwargs=True)
    return seen


@pytest.mark.parametrize("name", list(CLASSES))
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("paraphrase", [False, True])
def test_the_scores_are_those_of_every_way_for_itself(name, padding, paraphrase):
    model, processor = tiny_video_model(name)
    seen = tokens_read(model)
    how = {"padding": padding, "paraphrase": paraphrase}
    pictures = noise(3, seed=5)
    plain = AskedScorer(model, processor, share=False, **how).read(pictures, LISTED)
    together = AskedScorer(model, processor, **how).read(pictures, LISTED)
    assert together.shape == plain.shape == (4 if paraphrase else 2, 3)
    assert np.ptp(plain, axis=1).min() > 1e-4  # frames differ, so that mixing them up would show
    np.testing.assert_allclose(together, plain, atol=2e-6)
    (rows, length), (once, longer) = seen
    assert rows == len(plain) * 3 and once == 3 and length < longer
    # The frame and its question are read once.
    assert once * longer < 0.75 * rows * length


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_both_kernels_of_attention(attention):
    model, processor = tiny_video_model("qwen2-vl")
    model.set_attn_implementation(attention)
    seen, pictures = tokens_read(model), noise(2, seed=4)
    found = AskedScorer(model, processor).read(pictures, QUESTION)
    assert seen[0][0] == 2
    np.testing.assert_allclose(
        found, AskedScorer(model, processor, share=False).read(pictures, QUESTION), atol=2e-6)


def test_half_precision():
    model, processor = tiny_video_model("llava-onevision")
    model, pictures = model.to(torch.bfloat16), noise(4, seed=6)
    one, two = (AskedScorer(model, processor, share=share).read(pictures, LISTED)
                for share in (True, False))
    np.testing.assert_allclose(one, two, atol=0.02)


class OwnForward(type(family_of(tiny_video_model("llava-onevision")[0]))):  # type: ignore[misc]
    """An adapter that says nothing of masks."""

    name = "own-forward"

    def forward(self, model: Any, prompt: Prompt, **options: Any) -> Any:
        return super().forward(model, prompt, **options)


class QuestionFirst(type(family_of(tiny_video_model("llava-onevision")[0]))):  # type: ignore[misc]
    """The text before the frame: hardly anything is shared."""

    name = "question-first"

    def template(self, processor: VideoProcessor) -> str:
        return ("{% for m in messages %}{% for part in m['content'] | reverse %}"
                "{% if part['type'] == 'video' %}<video>\n{% else %}{{ part['text'] }}\n"
                "{% endif %}{% endfor %}{% endfor %}")


def test_who_cannot_reads_every_way_for_itself():
    pictures = noise(2, seed=8)

    def read(family: Family | None = None) -> tuple[list[tuple[int, int]], np.ndarray]:
        model, processor = tiny_video_model("llava-onevision")
        seen = tokens_read(model)
        return seen, AskedScorer(model, processor, family=family).read(pictures, QUESTION)

    def windows(model: Any) -> None:
        model.config.text_config.layer_types = ["sliding_attention", "full_attention"]

    def flash(model: Any) -> None:
        model.config.text_config._attn_implementation_internal = "flex_attention"

    rows, want = read()
    assert rows[0][0] == 2
    rows, found = read(OwnForward())
    assert rows[0][0] == 4 and not OwnForward().branches
    np.testing.assert_allclose(found, want, atol=2e-6)
    rows, found = read(QuestionFirst())
    assert rows[0][0] == 4 and np.isfinite(found).all()
    for change in (windows, flash):
        model, processor = tiny_video_model("llava-onevision")
        change(model)
        assert not AskedScorer(model, processor)._shares()


def test_frames_of_other_sizes_in_one_batch():
    """Folded prompts of different lengths, on either side of the padding."""
    model, processor = tiny_video_model("llava-onevision")
    family = family_of(model)
    scorer = AskedScorer(model, processor)
    shown = scorer._shown(family.encode(model, processor, noise(2, seed=1)))
    texts = [["what is w1", "what is w2 w3", "what w4"], ["is w1 w2 w3 w4", "is w1 w2 seen last"]]
    for some, one in zip(texts, shown, strict=True):
        prompts = [family.prompt(model, processor, text, one) for text in some]
        folded = branches_of(prompts)
        assert folded is not None and len(folded.prompt) < sum(map(len, prompts))
        assert [len(path) for path in folded.paths] == [len(p) for p in prompts]
    both = [branches_of([family.prompt(model, processor, text, one) for text in some])
            for some, one in zip([texts[0][:2], texts[1]], shown, strict=True)]
    assert len({len(one.prompt) for one in both}) == 2
    for side in ("left", "right"):
        whole, mask, ends = pad_branches(both, side)
        logits = family.forward(model, whole, attention_mask=mask).logits
        for row, some in enumerate([texts[0][:2], texts[1]]):
            for way, text in enumerate(some):
                alone = family.forward(
                    model, family.prompt(model, processor, text, shown[row])).logits[0, -1]
                torch.testing.assert_close(logits[row, ends[row, way]], alone, rtol=1e-4,
                                           atol=1e-5)


def test_a_prompt_that_begins_another_still_has_its_own_end():
    embeds = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[False, True, False, False, False]])
    long = Prompt(embeds, torch.arange(5)[None], places)
    short = Prompt(embeds[:, :3], torch.arange(3)[None], places[:, :3])
    for prompts in ([long, short], [short, long]):
        folded = branches_of(prompts)
        assert folded is not None
        for path, one in zip(folded.paths, prompts, strict=True):
            assert torch.equal(folded.prompt.embeds[0, list(path)], one.embeds[0])
            assert torch.equal(folded.prompt.positions[0, list(path)], one.positions[0])
        assert len(set(folded.ends())) == 2
        seen = folded.seen()
        for path in folded.paths:  # each token sees its own prompt up to itself, and no other
            assert [seen[token].sum() for token in path] == list(range(1, len(path) + 1))
