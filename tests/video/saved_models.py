"""Tiny models of the real classes in folders, as a user has them."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf
from video.tiny_video import VOCABULARY, tiny_tokenizer, tiny_video_model


def write_video_model(folder: Path, name: str = "llava-onevision") -> Path:
    """A video model with the halves of its processor."""
    model, processor = tiny_video_model(name)
    model.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    return folder


def write_clip(folder: Path) -> Path:
    """A CLIP of two tiny towers."""
    torch.manual_seed(1)
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
              "num_attention_heads": 2, "patch_size": 8, "image_size": 32}
    text = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": len(VOCABULARY), "eos_token_id": 2,
            "bos_token_id": 1, "pad_token_id": 0, "max_position_embeddings": 16}
    hf.CLIPModel(hf.CLIPConfig(vision_config=vision, text_config=text,
                               projection_dim=12)).save_pretrained(folder)
    hf.CLIPImageProcessorPil(size={"shortest_edge": 32},
                             crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
