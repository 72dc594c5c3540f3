"""The adapter that the documentation shows, run as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from video.tiny_video import SIZE, VOCABULARY, noise, tiny_tokenizer

from neurosparse.pipeline.video_questions import read_questions
from neurosparse.video import Frames, VideoProcessor, ask

PAGE = Path(__file__).parents[2] / "docs" / "video.md"
QUESTION = "what is seen last ?"

pytestmark = pytest.mark.skipif(not PAGE.is_file(),
                                reason="the documentation is not beside the tests")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"),
                      re.DOTALL | re.MULTILINE)


def tiny_llava() -> tuple[Any, VideoProcessor]:
    """LLaVA-1.5 in small, whose family is not among ours."""
    torch.manual_seed(0)
    vision = hf.CLIPVisionConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=3,
                                 num_attention_heads=2, patch_size=4, image_size=16)
    text = hf.LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                          num_attention_heads=2, num_key_value_heads=1, vocab_size=SIZE,
                          max_position_embeddings=1024, bos_token_id=1, eos_token_id=2)
    model = hf.LlavaForConditionalGeneration(hf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=VOCABULARY["<image>"]))
    return (model.eval().requires_grad_(False),
            VideoProcessor(hf.CLIPImageProcessorPil(), tiny_tokenizer()))


def test_the_adapter_of_the_page() -> None:
    text = next(one for one in blocks("python") if "(Family)" in one)
    assert text.count("\n") < 100
    names: dict[str, Any] = {}
    exec(compile(text, str(PAGE), "exec"), names)
    family = names["LlavaImages"]()
    model, processor = tiny_llava()
    frames = Frames(tuple(noise(4, (16, 16))), np.arange(4.0), 4.0)
    got = ask(model, processor, frames, QUESTION, token_budget=20, family=family,
              scorer=lambda pictures, question: [0.9, 0.0, 0.6, 0.2], decoupling="off")
    tokens = got.assignment.tokens
    assert tokens.sum() == 20 and tokens[0] > tokens[2] > tokens[3] and tokens[1] == 0
    # What the model itself makes of the same tokens: the adapter's rows are in their places.
    alike = ask(model, processor, frames, QUESTION, token_budget=64, family=family,
                decoupling="off", scorer=lambda pictures, question: [0.5] * 4)
    assert alike.assignment.tokens.tolist() == [16] * 4
    features = family.encode(model, processor, frames.pictures)
    from neurosparse.video import show
    from neurosparse.video.units import unit_times

    shown = show(features, alike.assignment, unit_times(frames.times, 1), 4.0)
    prompt = family.prompt(model, processor, QUESTION, shown)
    from neurosparse.video.processor import chat, ids_of, square_pixels

    line = "\n".join(f"{time:.1f} s: {'<image>' * 16}" for time in range(4))
    ids = ids_of(processor, chat(processor, "<video>", QUESTION,
                                 template=family.template(processor)).replace("<video>", line))
    want = model(input_ids=ids, pixel_values=square_pixels(processor, frames.pictures, 16)).logits
    assert torch.equal(family.forward(model, prompt).logits, want)
    # The model scores itself and decouples through the same adapter.
    itself = ask(model, processor, frames, QUESTION, token_budget=20, family=family)
    assert itself.scores.readings.shape == (2, 4)


def test_the_record_of_the_page(tmp_path: Path) -> None:
    (record,) = blocks("json")
    (tmp_path / "q.jsonl").write_text(record)
    (one,) = read_questions(tmp_path / "q.jsonl")
    assert one.video == tmp_path / "clips/a.mp4" and one.answer == 1 and one.group == "short"
    assert json.loads(record)["options"] == list(one.options)
