"""What the unmodified model and the library's own processor make of the same frames."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.llava_next_video.processing_llava_next_video import (
    LlavaNextVideoProcessor,
)
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.smolvlm import processing_smolvlm
from video.tiny_video import VOCABULARY

from neurosparse.video.families.qwen_vl import paired_patches
from neurosparse.video.families.smolvlm import in_words
from neurosparse.video.processor import VideoProcessor, chat, ids_of, square_pixels

FPS = 2.0


def standing(name: str, pixels: Any, grid: Any, frames: int, merge: int = 2) -> str:
    """The text that transformers' processor puts in the place of the video.

    The processors cannot be made without torchvision; their methods run on a stand-in.
    """
    meta = SimpleNamespace(fps=FPS, frames_indices=list(range(frames)), duration=frames / FPS,
                           timestamps=[i / FPS for i in range(frames)])
    video = SimpleNamespace(merge_size=merge, temporal_patch_size=2)
    if name == "llava-onevision":
        stand = SimpleNamespace(num_image_tokens=49, video_token="<video>")
        return LlavaOnevisionProcessor.replace_video_token(
            stand, {"pixel_values_videos": [pixels]}, 0)
    if name == "llava-next-video":
        stand = SimpleNamespace(patch_size=4, video_token="<video>",
                                vision_feature_select_strategy="default")
        return LlavaNextVideoProcessor.replace_video_token(
            stand, {"pixel_values_videos": [pixels]}, 0)
    if name in ("qwen2-vl", "qwen2.5-vl"):
        stand = SimpleNamespace(video_processor=video, video_token="<|video_pad|>")
        return Qwen2VLProcessor.replace_video_token(stand, {"video_grid_thw": grid}, 0)
    if name == "qwen3-vl":
        stand = SimpleNamespace(
            video_processor=video, video_token="<|video_pad|>",
            vision_start_token="<|vision_start|>", vision_end_token="<|vision_end|>",
            _calculate_timestamps=lambda *a: Qwen3VLProcessor._calculate_timestamps(None, *a))
        return Qwen3VLProcessor.replace_video_token(
            stand, {"video_grid_thw": grid, "video_metadata": [meta]}, 0)
    if name == "internvl":
        stand = SimpleNamespace(start_image_token="<img>", end_image_token="</img>",
                                image_token="<IMG_CONTEXT>", image_seq_length=16)
        return InternVLProcessor.replace_video_token(stand, {"pixel_values_videos": [pixels]}, 0)
    processing_smolvlm.num2words = in_words  # the package num2words is not installed
    stand = SimpleNamespace(image_seq_len=16, image_token="<image>",
                            fake_image_token="<fake_token_around_image>",
                            global_image_token="<global-img>")
    return processing_smolvlm.SmolVLMProcessor.replace_video_token(
        stand, {"pixel_values": pixels[None], "video_metadata": [meta]}, 0)


def inputs_of(name: str, model: Any, processor: VideoProcessor, pictures: list[np.ndarray],
              question: str) -> dict[str, Any]:
    """Keyword arguments of the unmodified model."""
    grid = None
    if name.startswith("qwen"):
        pixels, grid = paired_patches(processor, pictures, 2)
        given: dict[str, Any] = {"pixel_values_videos": pixels, "video_grid_thw": grid}
        if name == "qwen2.5-vl":
            given["second_per_grid_ts"] = [2 / FPS]
    else:
        size = 28 if name == "llava-onevision" else 32
        pixels = square_pixels(processor, pictures, size, crop=name == "llava-next-video")
        given = ({"pixel_values": pixels} if name == "internvl"
                 else {"pixel_values": pixels[None]} if name == "smolvlm"
                 else {"pixel_values_videos": pixels[None]})
    text = standing(name, pixels, grid, len(pictures))
    marker = "<|video_pad|>" if name in ("qwen2-vl", "qwen2.5-vl") else (
        "<|vision_start|><|video_pad|><|vision_end|>" if name == "qwen3-vl" else "<video>")
    template = processing_smolvlm.DEFAULT_CHAT_TEMPLATE if name == "smolvlm" else None
    prompt = chat(processor, marker, question, template=template).replace(marker, text)
    ids = ids_of(processor, prompt)
    if name.startswith("qwen"):
        given["mm_token_type_ids"] = 2 * (ids == VOCABULARY["<|video_pad|>"]).int()
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **given}
