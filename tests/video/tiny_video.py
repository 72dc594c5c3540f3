"""Tiny random models of the real classes, built from configurations; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

from neurosparse.video import VideoProcessor

SPECIAL = [
    "<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<|video_pad|>", "<img>", "</img>", "<IMG_CONTEXT>",
    "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<|im_start|>",
]
WORDS = ["A", "B", "A.", "B.", "yes", "no", "what", "is", "seen", "last", "?", "Answer", "frame",
         "Does", "this", "the", "video", *[f"w{i}" for i in range(40)]]
VOCABULARY = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
SIZE = len(VOCABULARY)


def tiny_tokenizer() -> hf.PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", pad_token="<pad>", bos_token="<s>",
        eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[4:]})
    return tokenizer


def _text(width: int = 32, **more: Any) -> dict[str, Any]:
    return {"hidden_size": width, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": SIZE,
            "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2,
            "pad_token_id": 0, **more}


def _vision(**more: Any) -> dict[str, Any]:
    return {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2, "patch_size": 4, **more}


_MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
_QWEN_MARKS = {
    "image_token_id": VOCABULARY["<|image_pad|>"], "video_token_id": VOCABULARY["<|video_pad|>"],
    "vision_start_token_id": VOCABULARY["<|vision_start|>"],
    "vision_end_token_id": VOCABULARY["<|vision_end|>"],
}
_LLAVA_MARKS = {"image_token_id": VOCABULARY["<image>"], "video_token_id": VOCABULARY["<video>"]}
_QWEN_VISION = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2,
                "temporal_patch_size": 2}
_QWEN_NEWER = {**_QWEN_VISION, "hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24}


def config_of(name: str) -> Any:
    if name == "llava-onevision":
        return hf.LlavaOnevisionConfig(
            vision_config=hf.SiglipVisionConfig(**_vision(image_size=28)),
            text_config=hf.Qwen2Config(**_text()), image_grid_pinpoints=[[28, 28]],
            vision_feature_layer=-1, vision_feature_select_strategy="full", **_LLAVA_MARKS)
    if name == "llava-next-video":
        return hf.LlavaNextVideoConfig(
            vision_config=hf.CLIPVisionConfig(**_vision(image_size=32)),
            text_config=hf.LlamaConfig(**_text()), image_grid_pinpoints=[[32, 32]],
            spatial_pool_mode="average", spatial_pool_stride=2, **_LLAVA_MARKS)
    if name == "qwen2-vl":
        return hf.Qwen2VLConfig(
            vision_config={**_QWEN_VISION, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2},
            text_config=_text(rope_parameters=_MROPE), **_QWEN_MARKS)
    if name == "qwen2.5-vl":
        return hf.Qwen2_5_VLConfig(
            vision_config={**_QWEN_NEWER, "window_size": 16, "fullatt_block_indexes": [1],
                           "tokens_per_second": 2},
            text_config=_text(rope_parameters=_MROPE), **_QWEN_MARKS)
    if name == "qwen3-vl":
        return hf.Qwen3VLConfig(
            vision_config={**_QWEN_NEWER, "num_position_embeddings": 64,
                           "deepstack_visual_indexes": [0]},
            text_config=_text(head_dim=16, rope_parameters={**_MROPE, "mrope_interleaved": True}),
            **_QWEN_MARKS)
    if name == "internvl":
        return hf.InternVLConfig(
            vision_config={"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
                           "num_attention_heads": 2, "patch_size": [4, 4], "image_size": [32, 32]},
            text_config=hf.Qwen2Config(**_text()), image_token_id=VOCABULARY["<IMG_CONTEXT>"],
            image_seq_length=16)
    return hf.SmolVLMConfig(
        vision_config=_vision(image_size=32), text_config=hf.LlamaConfig(**_text()),
        scale_factor=2, image_token_id=VOCABULARY["<image>"])


CLASSES = {
    "llava-onevision": "LlavaOnevisionForConditionalGeneration",
    "llava-next-video": "LlavaNextVideoForConditionalGeneration",
    "qwen2-vl": "Qwen2VLForConditionalGeneration",
    "qwen2.5-vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3-vl": "Qwen3VLForConditionalGeneration",
    "internvl": "InternVLForConditionalGeneration",
    "smolvlm": "SmolVLMForConditionalGeneration",
}


def tiny_video_model(name: str) -> tuple[Any, VideoProcessor]:
    """A model in eval mode with the halves of its processor, always the same."""
    torch.manual_seed(0)
    model = getattr(hf, CLASSES[name])(config_of(name)).eval().requires_grad_(False)
    if name.startswith("qwen"):
        images: Any = hf.Qwen2VLImageProcessorPil(
            patch_size=4, merge_size=2, temporal_patch_size=2,
            size={"shortest_edge": 64, "longest_edge": 1024})
    elif name == "llava-next-video":
        images = hf.CLIPImageProcessorPil()
    else:
        images = hf.SiglipImageProcessorPil()
    return model, VideoProcessor(images, tiny_tokenizer())


def noise(frames: int, size: tuple[int, int] = (24, 32), seed: int = 0) -> list[np.ndarray]:
    """Pictures of smooth noise of shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    return [np.kron(rng.integers(0, 255, (size[0] // 4, size[1] // 4, 3)),
                    np.ones((4, 4, 1))).astype(np.uint8) for _ in range(frames)]
