"""InternVL (the classes of transformers): square frames, each named and between its own marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from neurosparse.video.families.family import (
    Family,
    Features,
    Picture,
    Shown,
    as_grid,
    flat,
    pooled,
)
from neurosparse.video.processor import VideoProcessor, square_pixels


class InternVL(Family):
    """Full grid and default grid: patches shuffled in twos (16 x 16).

    A dropped frame goes together with its name; the others keep their numbers, which are their
    places in time.
    """

    name = "internvl"
    model_types = ("internvl",)

    def encode(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> Features:
        """Vision tower, pixel shuffle, projector."""
        size = model.config.vision_config.image_size
        side = size if isinstance(size, int) else size[0]
        pixels = square_pixels(processor, pictures, side).to(model.device)
        return Features(as_grid(pooled(model.model.get_image_features(pixels))))

    def placeholder(self, model: Any) -> int:
        """The one token for images and frames."""
        return int(model.config.image_token_id)

    def marker(self, model: Any, processor: VideoProcessor) -> str:
        """What the chat template writes for a video."""
        return str(getattr(processor.tokenizer, "video_token", None) or "<video>")

    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """``Frame7: <img>...</img>``, one line a frame."""
        tokenizer = processor.tokenizer
        start = getattr(tokenizer, "start_image_token", None) or "<img>"
        end = getattr(tokenizer, "end_image_token", None) or "</img>"
        place = super().marker(model, processor)
        return "\n".join(
            f"Frame{unit + 1}: {start}{place * count}{end}"
            for unit, count in zip(shown.units, shown.counts(), strict=True)), flat(shown.rows)
