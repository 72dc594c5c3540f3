"""A tiny random model with a tokenizer, in a folder, and a text that it can read."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = [f"w{i}" for i in range(94)]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{w: i + 3 for i, w in enumerate(WORDS)}}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>",
                                   eos_token="</s>")


def tiny_text(words: int = 4000, seed: int = 0) -> str:
    """Random words in paragraphs of 40."""
    rng = random.Random(seed)
    picked = [rng.choice(WORDS) for _ in range(words)]
    return "\n\n".join(" ".join(picked[i : i + 40]) for i in range(0, words, 40))


def tiny_model(blocks: int = 3, width: int = 64) -> LlamaForCausalLM:
    """Random Llama, always the same."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=blocks,
        num_attention_heads=4, num_key_value_heads=2, vocab_size=100,
        max_position_embeddings=256, bos_token_id=1, eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


def write_tiny(folder: Path, **options: int) -> Path:
    """Save model and tokenizer; returns the folder."""
    tiny_model(**options).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
