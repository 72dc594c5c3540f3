"""Qwen2-VL and Qwen2.5-VL: pairs of frames, any aspect, one block of video, M-RoPE positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neurosparse.errors import FormatError
from neurosparse.video.families.family import Family, Features, Picture, Shown, flat, pooled
from neurosparse.video.families.mrope import sequence_positions
from neurosparse.video.processor import VideoProcessor, as_images

# What the image processor of Qwen takes; its own error would end a run over many videos.
_THINNEST = 200


def paired_patches(
    processor: VideoProcessor, pictures: Sequence[Picture], together: int
) -> tuple[Tensor, Tensor]:
    """Patches of a video out of an image processor, which knows images alone.

    The image processor writes each picture into all time slots of its patches; a video's patch
    has its neighbours in them. An odd frame at the end is repeated, as video processors do.

    Returns
    -------
    patches : shape (units * patches, channels * together * patch * patch)
    grid : shape (1, 3)
        Units, rows and columns of patches.

    Raises
    ------
    FormatError
        Pictures too long and thin for the image processor.
    """
    for picture in pictures:
        height, width = picture.shape[:2]
        if max(height, width) > _THINNEST * min(height, width):
            raise FormatError("encode frames", found=f"pictures of {width} x {height} pixels",
                              expected=f"a side at most {_THINNEST} times as long as the other")
    whole = list(pictures) + [pictures[-1]] * (-len(pictures) % together)
    out = processor.image_processor(images=as_images(whole), return_tensors="pt")
    values, grid = out["pixel_values"], out["image_grid_thw"][0]
    units = len(whole) // together
    slots = values.view(units, together, int(grid.prod()), 3, together, -1)
    # Slot s of a unit's patches comes from its frame s.
    joined = torch.stack([slots[:, s, :, :, s] for s in range(together)], dim=3)
    return joined.reshape(units * int(grid.prod()), -1), torch.tensor(
        [[units, int(grid[1]), int(grid[2])]])


class QwenVL(Family):
    """Full grid and default grid: patches merged in twos, of the picture's own shape.

    The budget is shared among units of two frames. A dropped unit keeps its place in time: the
    positions of the others do not move.
    """

    name = "qwen2-vl"
    model_types: tuple[str, ...] = ("qwen2_vl", "qwen2_5_vl")

    def unit_frames(self, model: Any) -> int:
        """Frames that one patch spans."""
        return int(model.config.vision_config.temporal_patch_size)

    def encode(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> Features:
        """The vision tower with its merger."""
        output, shape = self.vision(model, processor, pictures)
        return Features(torch.cat(list(pooled(output))).reshape(*shape, -1))

    def vision(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> tuple[Any, tuple[int, int, int]]:
        """What the vision part returns, and units, rows and columns of its features."""
        patches, grid = paired_patches(processor, pictures, self.unit_frames(model))
        device = next(model.model.visual.parameters()).device
        output = model.model.get_video_features(patches.to(device), grid.to(device))
        merge = model.config.vision_config.spatial_merge_size
        units, rows, columns = grid[0].tolist()
        return output, (units, rows // merge, columns // merge)

    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """All units in one block; the chat template has its start and end."""
        rows = flat(shown.rows)
        return self.marker(model, processor) * len(rows), rows

    def positions(self, model: Any, ids: Tensor, shown: Shown) -> Tensor:
        """Time by the units' numbers, and in Qwen2.5-VL by seconds."""
        rate = getattr(model.config.vision_config, "tokens_per_second", None)
        tick = 1.0 if rate is None else float(rate) * shown.spacing
        ticks = (torch.tensor(list(shown.units)) * tick).long().tolist()
        grids = shown.grids("height and width are positions")
        return sequence_positions(ids[0] == self.placeholder(model), [(grids, ticks)])
