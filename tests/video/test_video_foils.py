"""What the table of token budgets compares with: similarity and attention pruning."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers as hf

from neurosparse.video.families import Prompt

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def foils() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return __import__("video_foils")
    finally:
        sys.path.remove(str(FOLDER))


def test_what_repeats_is_merged_into_what_was_before(foils: ModuleType) -> None:
    torch.manual_seed(0)
    first, other = torch.randn(2, 2, 2, 8)
    grids = torch.stack([first, first, other, other, other])
    (rows,) = foils.similarity_pruning(grids, 8)
    torch.testing.assert_close(rows, torch.cat([first.flatten(0, 1), other.flatten(0, 1)]))
    # Sizes are carried: the mean of all that was merged, whatever is merged.
    (one,) = foils.similarity_pruning(grids, 4)
    torch.testing.assert_close(one, grids.mean(0).flatten(0, 1))
    (whole,) = foils.similarity_pruning(grids, 20)
    torch.testing.assert_close(whole, grids.flatten(0, 2))


def tiny(layers: int = 3) -> Any:
    torch.manual_seed(1)
    text = hf.Qwen2Config(hidden_size=16, intermediate_size=32, vocab_size=40,
                          num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1)
    vision = hf.SiglipVisionConfig(hidden_size=16, intermediate_size=16, patch_size=4,
                                   num_hidden_layers=1, num_attention_heads=2, image_size=8)
    return hf.LlavaOnevisionForConditionalGeneration(hf.LlavaOnevisionConfig(
        vision_config=vision, text_config=text, vision_feature_layer=-1)).eval()


def test_attention_pruning_is_the_model_itself_with_all_tokens(foils: ModuleType) -> None:
    model = tiny()
    torch.manual_seed(2)
    embeds, places = torch.randn(1, 14, 16), torch.zeros(1, 14, dtype=torch.bool)
    places[0, 1:11] = True
    prompt = Prompt(embeds, torch.arange(14)[None], places)
    with torch.no_grad():
        want = int(model(inputs_embeds=embeds).logits[0, -1].argmax())
        pruning = foils.AttentionPruning(model, layers=2)
        assert pruning.answers(prompt, (10,)) == [want]
        # The weights are those of the model's own attention after all its layers but one.
        eager = tiny()
        eager.set_attn_implementation("eager")
        own = eager(inputs_embeds=embeds, output_attentions=True).attentions[1][0, :, -1].mean(0)
        decoder = model.model.language_model
        turn = decoder.rotary_emb(embeds, prompt.positions)
        before = pruning._run(decoder.layers[0], embeds, turn, prompt.positions)
        found = pruning._attention(decoder.layers[1], before, turn)
    torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-5)
