"""LLaVA-NeXT-Video: frames cropped to a square, averaged in twos before the projector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from neurosparse.video.families.family import Family, Features, Picture, Shown, as_grid, flat
from neurosparse.video.families.llava_onevision import vision_features
from neurosparse.video.grids import Grid
from neurosparse.video.processor import VideoProcessor, square_pixels


class LlavaNextVideo(Family):
    """Full grid: that of the vision tower (24 x 24); default: the stride of its pooling less.

    The model pools first and projects then, so the features here are those before the projector
    and the rows are projected once they are resized. The resizer ``"average"`` at the default
    grid is the model's own pooling (where its mode is ``"average"``, as in all checkpoints).
    """

    name = "llava-next-video"
    model_types = ("llava_next_video",)

    def encode(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> Features:
        """The vision tower alone."""
        side = model.config.vision_config.image_size
        return Features(as_grid(vision_features(
            model, square_pixels(processor, pictures, side, crop=True))))

    def default_grid(self, model: Any, full: Grid) -> Grid:
        """The full grid over the stride."""
        stride = model.config.spatial_pool_stride
        return full[0] // stride, full[1] // stride

    def decoder_rows(self, model: Any, grids: Tensor) -> Tensor:
        """The projector."""
        rows: Tensor = model.model.multi_modal_projector(grids)
        return rows

    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """All frames one after the other, without separators."""
        rows = self.decoder_rows(model, flat(shown.rows))
        return self.marker(model, processor) * len(rows), rows
