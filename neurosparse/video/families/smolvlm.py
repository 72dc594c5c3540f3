"""SmolVLM: square frames, each after its time and between its own marks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
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

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(number: int) -> str:
    """A whole number from 0 to 999 999 in English words, as the model's training had them."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    high, rest = divmod(number, size)
    if not rest:
        return f"{in_words(high)} {name}"
    joint = " and " if rest < 100 else ", "
    return f"{in_words(high)} {name}{joint}{in_words(rest)}"


class SmolVLM(Family):
    """Full grid and default grid: patches shuffled (8 x 8 for the 2.2 B model).

    A dropped frame goes together with its time stamp, and the frames shown are the frames
    counted in the introduction.
    """

    name = "smolvlm"
    model_types = ("smolvlm",)

    def encode(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> Features:
        """Vision tower, pixel shuffle, projector; frames are never split into tiles."""
        pixels = square_pixels(processor, pictures, model.config.vision_config.image_size)
        rows = pooled(model.model.get_image_features(pixels[None].to(model.device)))
        whole = rows[0] if isinstance(rows, (list, tuple)) else rows
        return Features(as_grid(whole.reshape(len(pictures), -1, whole.shape[-1])))

    def placeholder(self, model: Any) -> int:
        """The one token for images and frames."""
        return int(model.config.image_token_id)

    def marker(self, model: Any, processor: VideoProcessor) -> str:
        """What the chat template writes for a video."""
        return str(getattr(processor.tokenizer, "video_token", None) or "<video>")

    def template(self, processor: VideoProcessor) -> str | None:
        """The one that transformers keeps for videos; older checkpoints have one without."""
        from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

        return str(DEFAULT_CHAT_TEMPLATE)

    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """The introduction, then ``Frame from 01:07:`` and the rows, for every frame."""
        tokenizer = processor.tokenizer
        fake = getattr(tokenizer, "fake_image_token", "<fake_token_around_image>")
        whole = getattr(tokenizer, "global_image_token", "<global-img>")
        place = super().marker(model, processor)
        text = (f"You are provided the following series of {in_words(len(shown.rows))} frames "
                f"from a {timedelta(seconds=int(shown.duration))} [H:MM:SS] video.\n")
        for time, count in zip(shown.times, shown.counts(), strict=True):
            stamp = f"{int(time // 60):02d}:{int(time % 60):02d}"
            text += f"\nFrame from {stamp}:{fake}{whole}{place * count}{fake}"
        return text + "\n\n", flat(shown.rows)
