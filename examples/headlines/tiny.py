"""What the headlines share: arguments, and for ``--tiny`` a random Llama with random words."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def headline_parser(about: str, *, window_length: int, out: str) -> argparse.ArgumentParser:
    """Model, report text, windows, sparsity, machine; the numbers are those of the papers."""
    parser = argparse.ArgumentParser(description=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--report-text")
    parser.add_argument("--sparsity", type=float, default=0.7)
    parser.add_argument("--window-length", type=int, default=window_length)
    parser.add_argument("--windows", type=int, default=128)
    parser.add_argument("--report-windows", type=int, default=160)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", default=out)
    parser.add_argument("--tiny", action="store_true")
    return parser


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
