"""Tiny pruned models of several families, and random sparse matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as tf
from instruction_levels import in_parts
from torch import nn

from neurosparse import kernels, models

_COMMON: dict[str, Any] = {
    "vocab_size": 101, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
_LLAMA = {**_COMMON, "intermediate_size": 72, "num_key_value_heads": 2}
CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: tf.LlamaConfig(**_LLAMA),
    "qwen2": lambda: tf.Qwen2Config(**_LLAMA, tie_word_embeddings=True),
    "opt": lambda: tf.OPTConfig(**_COMMON, ffn_dim=72, word_embed_proj_dim=48),
    "falcon": lambda: tf.FalconConfig(**_COMMON, bias=True, ffn_hidden_size=72),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**_COMMON, intermediate_size=72),
    "gpt2": lambda: tf.GPT2Config(
        vocab_size=101, n_embd=48, n_layer=2, n_head=4, n_positions=128, bos_token_id=1,
        eos_token_id=2),
    "mixtral": lambda: tf.MixtralConfig(**_LLAMA, num_local_experts=4, num_experts_per_tok=2),
    "qwen3_moe": lambda: tf.Qwen3MoeConfig(
        **_LLAMA, head_dim=12, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=40),
    "gpt_oss": lambda: tf.GptOssConfig(
        **_LLAMA, head_dim=12, num_local_experts=4, num_experts_per_tok=2),
    "llava": lambda: tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            image_size=16, patch_size=8),
        text_config=tf.LlamaConfig(**_LLAMA), image_token_index=100),
}


def build(family: str, *, seed: int = 0, sparsity: float = 0.6, dtype: Any = torch.float32
          ) -> nn.Module:
    """A random model, its block weights zeroed at random, all weights representable in dtype."""
    auto = tf.AutoModelForImageTextToText if family == "llava" else tf.AutoModelForCausalLM
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model: nn.Module = auto.from_config(CONFIGS[family]()).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
            parameter.copy_(parameter.to(dtype))
    for target in models.find_targets(model):
        weight = models.get_weight(model, target)
        keep = torch.rand(weight.shape, generator=generator) >= sparsity
        models.set_weight(model, target, torch.where(keep, weight, 0.0))
    return model


def sparse_matrix(rows: int, cols: int, *, density: float = 0.4, seed: int = 0) -> torch.Tensor:
    """Gaussian entries, each kept with probability ``density``."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, cols, generator=generator)
    return torch.where(torch.rand(rows, cols, generator=generator) < density, weight, 0.0)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference over largest magnitude."""
    return float((found - expected).abs().max() / expected.abs().max())


def parts_error(values: str) -> float:
    """What a few layers may be off, as a share of the largest output.

    Rounding of float32 sums, and where x meets bf16, int8 or int4 values in parts
    (``neurosparse.tiles``) 2^-16 of its size a layer.
    """
    parts = in_parts(kernels.level()) and values in ("bf16", "int8", "int4")
    return 8 * 2.0**-16 if parts else 1e-5
