"""The published checkpoint of LLaVA-Video, in small: written, converted, loaded, asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from video.tiny_video import noise, tiny_tokenizer

from neurosparse.errors import FormatError, InputError
from neurosparse.video import Frames, ask, convert_llava_video, family_of, load_processor


def published(folder, shards=2):
    """A random checkpoint with the names of the published one, and its weights."""
    torch.manual_seed(3)
    tokenizer = tiny_tokenizer()
    text = hf.Qwen2Config(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, vocab_size=len(tokenizer) + 8, max_position_embeddings=2048,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})
    vision = hf.SiglipVisionConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                                   num_attention_heads=2, image_size=28, patch_size=4,
                                   vision_use_head=False)
    decoder, tower = hf.Qwen2ForCausalLM(text), hf.SiglipVisionModel(vision)
    weights = dict(decoder.state_dict())
    for name, value in tower.state_dict().items():
        rest = name.removeprefix("vision_model.")
        weights[f"model.vision_tower.vision_tower.vision_model.{rest}"] = value
    weights["model.mm_projector.0.weight"] = torch.randn(32, 16)
    weights["model.mm_projector.0.bias"] = torch.randn(32)
    weights["model.mm_projector.2.weight"] = torch.randn(32, 32)
    weights["model.mm_projector.2.bias"] = torch.randn(32)
    weights["model.image_newline"] = torch.randn(32)
    weights = {k: v.contiguous() for k, v in weights.items()}
    folder.mkdir()
    names = sorted(weights)
    for i in range(shards):
        save_file({k: weights[k] for k in names[i::shards]},
                  folder / f"model-{i + 1:05d}-of-{shards:05d}.safetensors")
    config = {**text.to_dict(), "model_type": "llava_qwen", "mm_newline_position": "grid",
              "rope_theta": 1000000.0}
    del config["rope_parameters"]  # older than transformers 5
    (folder / "config.json").write_text(json.dumps(config, default=str))
    tokenizer.save_pretrained(folder)
    return decoder.eval(), tower.eval(), weights


@pytest.mark.parametrize("shards", [1, 2])
def test_converted_weights_are_the_published_ones_and_answer(tmp_path, shards):
    decoder, tower, weights = published(tmp_path / "old", shards)
    convert_llava_video(tmp_path / "old", tmp_path / "new", vision_heads=2)
    model, info = hf.LlavaOnevisionForConditionalGeneration.from_pretrained(
        tmp_path / "new", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    model.eval()
    adapter, processor = family_of(model), load_processor(tmp_path / "new")
    assert adapter.name == "llava-video"
    pictures = noise(3)
    features = adapter.encode(model, processor, pictures)
    # The published pipeline by hand: tower, two layers with a GELU, no pooling yet.
    from neurosparse.video.processor import square_pixels

    seen = tower(square_pixels(processor, pictures, 28),
                 output_hidden_states=True).hidden_states[-1]
    hidden = torch.nn.functional.gelu(
        seen @ weights["model.mm_projector.0.weight"].T + weights["model.mm_projector.0.bias"])
    want = hidden @ weights["model.mm_projector.2.weight"].T + weights["model.mm_projector.2.bias"]
    torch.testing.assert_close(features.grids.flatten(1, 2), want, rtol=1e-4, atol=1e-4)
    embeds = torch.randn(1, 5, 32)
    torch.testing.assert_close(model(inputs_embeds=embeds).logits,
                               decoder(inputs_embeds=embeds).logits)
    got = ask(model, processor, Frames(tuple(pictures), np.arange(3.0), 3.0), "what is seen ?",
              token_budget=12, decoupling="off", scorer=lambda p, q: [1.0, 1.0, 1.0])
    assert got.assignment.grids == ((2, 2),) * 3


def test_what_is_no_such_checkpoint_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        convert_llava_video(tmp_path / "none", tmp_path / "new")
    (tmp_path / "bare").mkdir()
    with pytest.raises(FormatError, match="no vision tower"):
        convert_llava_video(tmp_path / "bare", tmp_path / "new")
    published(tmp_path / "old", 1)
    file = next((tmp_path / "old").glob("*.safetensors"))
    left = {k: v for k, v in load_file(file).items() if k != "model.mm_projector.2.bias"}
    save_file(left, file)
    with pytest.raises(FormatError, match=r"no weights for model\.multi_modal_projector"):
        convert_llava_video(tmp_path / "old", tmp_path / "new", vision_heads=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bare", "old"]
