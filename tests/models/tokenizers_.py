"""Tiny word-level tokenizers, with and without a first token."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = [f"w{index}" for index in range(50)]


def make(*, first: bool) -> PreTrainedTokenizerFast:
    """Words w0 .. w49 are ids 3 .. 52, "a" is 53; ``first`` puts <bos> (1) before every text."""
    table = {"<unk>": 0, "<bos>": 1, "<eos>": 2, **{w: i + 3 for i, w in enumerate(WORDS)}, "a": 53}
    inner = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if first:
        inner.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
        model_max_length=16,
    )
