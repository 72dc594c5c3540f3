"""One tiny random model of every family, built from its configuration class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as tf
from torch import nn

VOCABULARY = 97
WINDOW = 8
"""Sliding window of the families that have one; tests use longer texts."""

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]

Config = Callable[[], Any]


def _common(kind: Any, **other: Any) -> Config:
    return lambda: kind(**{**_COMMON, **other})


def _llava() -> Any:
    return tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=5, num_attention_heads=4,
            image_size=16, patch_size=8,
        ),
        text_config=tf.LlamaConfig(**_COMMON),
        image_token_index=VOCABULARY - 1,
    )


CONFIGS: dict[str, Config] = {
    "llama": _common(tf.LlamaConfig),
    "mistral": _common(tf.MistralConfig, sliding_window=WINDOW),
    "qwen2": _common(
        tf.Qwen2Config, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    ),
    "qwen3": _common(tf.Qwen3Config, head_dim=8),
    "gemma2": _common(tf.Gemma2Config, head_dim=8, sliding_window=WINDOW, layer_types=_MIXED),
    "gemma3": _common(
        tf.Gemma3TextConfig, head_dim=8, sliding_window=WINDOW, layer_types=_MIXED
    ),
    "phi3": _common(tf.Phi3Config, sliding_window=WINDOW),
    "opt": lambda: tf.OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=128, word_embed_proj_dim=16, pad_token_id=0,
    ),
    "gpt_neox": lambda: tf.GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=128,
    ),
    "falcon": lambda: tf.FalconConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4
    ),
    "falcon_alibi": lambda: tf.FalconConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        alibi=True, new_decoder_architecture=False, parallel_attn=False,
    ),
    "gpt2": lambda: tf.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=128, bos_token_id=1,
        eos_token_id=2,
    ),
    "mixtral": _common(
        tf.MixtralConfig, num_local_experts=4, num_experts_per_tok=2, sliding_window=WINDOW
    ),
    "qwen3_moe": _common(
        tf.Qwen3MoeConfig, head_dim=8, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=24, mlp_only_layers=[1],
    ),
    # Transposed experts, and square ones: their shapes alone do not tell which way they lie.
    "gpt_oss": _common(
        tf.GptOssConfig, head_dim=8, intermediate_size=16, num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=WINDOW, layer_types=_MIXED,
    ),
    "llava": _llava,
}

FAMILIES = sorted(CONFIGS)
MIXTURES = ["gpt_oss", "mixtral", "qwen3_moe"]
SLIDING = ["gemma2", "gemma3", "gpt_oss", "mistral", "mixtral", "phi3", "qwen2"]

PREFIX = {
    "falcon": "transformer.h", "falcon_alibi": "transformer.h", "gpt2": "transformer.h",
    "gpt_neox": "gpt_neox.layers", "llava": "model.language_model.layers",
    "opt": "model.decoder.layers",
}

_ATTENTION = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
_GATED = [*_ATTENTION, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
_FALCON = [
    "self_attention.query_key_value", "self_attention.dense",
    "mlp.dense_h_to_4h", "mlp.dense_4h_to_h",
]


def _experts(path: str, count: int = 4) -> list[str]:
    return [f"{path}.{role}#{e}" for role in ("gate_up_proj", "down_proj") for e in range(count)]


def expected_in_block(family: str, block: int) -> list[str]:
    """Names of the targets of one block, without the block's own, in any order."""
    if family in ("mixtral", "gpt_oss"):
        return [*_ATTENTION, *_experts("mlp.experts")]
    if family == "qwen3_moe":
        return _GATED if block == 1 else [*_ATTENTION, *_experts("mlp.experts")]
    table = {
        "phi3": ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"],
        "opt": ["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj",
                "fc1", "fc2"],
        "gpt_neox": ["attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h",
                     "mlp.dense_4h_to_h"],
        "falcon": _FALCON, "falcon_alibi": _FALCON,
        "gpt2": ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
    }
    return table.get(family, _GATED)


def build(family: str, *, seed: int = 0) -> nn.Module:
    """The family's tiny model in eval mode, with weights large enough for errors to show."""
    config = CONFIGS[family]()
    auto = tf.AutoModelForImageTextToText if family == "llava" else tf.AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = auto.from_config(config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                spread = 0.3 if parameter.dim() > 1 else 0.1
                parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    return model.eval().requires_grad_(False)


def tokens(windows: int = 5, length: int = 20, *, seed: int = 0) -> torch.Tensor:
    """Random ids [windows, length] that are never special or an image."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY - 2, (windows, length), generator=generator)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference over largest magnitude."""
    scale = expected.abs().max()
    return float((found - expected).abs().max() / scale)
