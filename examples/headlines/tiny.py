"""A random Llama and random words, for ``--tiny``: that a headline runs, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def write_tiny(folder: Path, words: int = 8000) -> tuple[str, str]:
    """Model folder and text file."""
    torch.manual_seed(0)
    known = [f"w{at}" for at in range(96)]
    LlamaForCausalLM(LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=100, max_position_embeddings=128,
    )).save_pretrained(folder / "model")
    core = Tokenizer(models.WordLevel({"<unk>": 0, **{word: at + 1 for at, word in
                                                      enumerate(known)}}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>").save_pretrained(
        folder / "model")
    rng = random.Random(0)
    text = folder / "text.txt"
    text.write_text("\n\n".join(" ".join(rng.choice(known) for _ in range(40))
                                for _ in range(words // 40)))
    return str(folder / "model"), str(text)
