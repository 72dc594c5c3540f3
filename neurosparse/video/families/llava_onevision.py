"""LLaVA-OneVision: square frames, bilinear to half the grid, one newline after the whole video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neurosparse.video.families.family import Family, Features, Picture, Shown, as_grid, flat
from neurosparse.video.grids import Grid
from neurosparse.video.processor import VideoProcessor, square_pixels


def vision_features(model: Any, pixels: Tensor) -> Tensor:
    """Features of the vision layers that a LLaVA model reads, shape (frames, tokens, width)."""
    config = model.config
    tower = model.model.vision_tower
    weight = next(tower.parameters())
    out = tower(pixels.to(weight.device, weight.dtype), output_hidden_states=True,
                return_dict=True)
    layers = config.vision_feature_layer
    chosen = ([out.hidden_states[layers]] if isinstance(layers, int)
              else [out.hidden_states[layer] for layer in layers])
    features = torch.cat(chosen, dim=-1)
    # "default" leaves out the class token of CLIP; SigLIP has none.
    return features[:, 1:] if config.vision_feature_select_strategy == "default" else features


class LlavaOnevision(Family):
    """Full grid: that of the vision tower (27 x 27); default: half of it, rounded up (14 x 14)."""

    name = "llava-onevision"
    model_types: tuple[str, ...] = ("llava_onevision",)

    def encode(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> Features:
        """Vision tower and projector."""
        pixels = square_pixels(processor, pictures, model.config.vision_config.image_size)
        return Features(as_grid(model.model.multi_modal_projector(vision_features(model, pixels))))

    def default_grid(self, model: Any, full: Grid) -> Grid:
        """Half the full grid."""
        return math.ceil(full[0] / 2), math.ceil(full[1] / 2)

    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """All frames one after the other, then one newline."""
        rows = torch.cat([flat(shown.rows), model.model.image_newline[None].to(shown.rows[0])])
        return self.marker(model, processor) * len(rows), rows


class LlavaVideo(LlavaOnevision):
    """LLaVA-Video-7B-Qwen2 in the OneVision classes: a newline after every row of every frame.

    A frame of height h and width w makes ``h * (w + 1)`` tokens, of which the budget counts
    ``h * w``. Chosen by name: its checkpoint has no model type of its own in transformers.
    """

    name = "llava-video"
    model_types = ()

    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """Frames row by row."""
        shown.grids("a newline ends each row")
        newline = model.model.image_newline.to(shown.rows[0])
        rows = flat([torch.cat([one, newline.expand(one.shape[0], 1, -1)], dim=1)
                     for one in shown.rows])
        return self.marker(model, processor) * len(rows), rows

    def introduction(self, shown: Shown) -> str:
        """Duration, number and times of the frames shown, in the words of its training."""
        times = ",".join(f"{time:.2f}s" for time in shown.times)
        return (f"The video lasts for {shown.duration:.2f} seconds, and {len(shown.times)} frames "
                f"are uniformly sampled from it. These frames are located at {times}. Please "
                "answer the following questions related to this video.\n")
