"""Qwen3-VL: pairs of frames, each in a block of its own after its time; deep features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neurosparse.video.families.family import Features, Picture, Prompt, Shown, flat, pooled
from neurosparse.video.families.mrope import sequence_positions
from neurosparse.video.families.qwen_vl import QwenVL
from neurosparse.video.processor import VideoProcessor


class Qwen3VL(QwenVL):
    """Grids as in Qwen2-VL; a dropped unit goes together with its time stamp.

    Features of several vision layers are added to the decoder's first layers (DeepStack): they
    are resized like the rest.
    """

    name = "qwen3-vl"
    model_types = ("qwen3_vl",)

    def encode(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> Features:
        """The vision tower with its mergers."""
        output, shape = self.vision(model, processor, pictures)
        deep = tuple(torch.cat(list(layer)).reshape(*shape, -1)
                     for layer in output.deepstack_features)
        return Features(torch.cat(list(pooled(output))).reshape(*shape, -1), deep)

    def _bounds(self, model: Any, processor: VideoProcessor) -> tuple[str, str]:
        names = processor.tokenizer.convert_ids_to_tokens(
            [model.config.vision_start_token_id, model.config.vision_end_token_id])
        return str(names[0]), str(names[1])

    def marker(self, model: Any, processor: VideoProcessor) -> str:
        """The placeholder between start and end, all three of which give way to the blocks."""
        start, end = self._bounds(model, processor)
        return f"{start}{super().marker(model, processor)}{end}"

    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """``<12.5 seconds>``, start, rows, end, for every unit."""
        start, end = self._bounds(model, processor)
        place = super().marker(model, processor)
        return "".join(
            f"<{time:.1f} seconds>{start}{place * count}{end}"
            for time, count in zip(shown.times, shown.counts(), strict=True)), flat(shown.rows)

    def positions(self, model: Any, ids: Tensor, shown: Shown) -> Tensor:
        """A block a unit; time is in the text."""
        grids = shown.grids("height and width are positions")
        return sequence_positions(ids[0] == self.placeholder(model),
                                  [([grid], [0]) for grid in grids])

    @property
    def branches(self) -> bool:
        """The decoder's own mask is made outside of what :meth:`forward` adds."""
        return True

    def forward(self, model: Any, prompt: Prompt, **options: Any) -> Any:
        """The decoder with the deep features, then the head.

        The model's own ``forward`` makes the deep features from pixels and cannot be given them
        in every version of transformers 5; these two calls are the rest of what it does.
        """
        kept = options.pop("logits_to_keep", 0)
        deep: dict[str, Any] = {}
        if prompt.deep and bool(prompt.places.any()):
            deep = {"visual_pos_masks": prompt.places,
                    "deepstack_visual_embeds": list(prompt.deep)}
        out = model.model.language_model(
            inputs_embeds=prompt.embeds, position_ids=prompt.positions, **deep, **options)
        states = out.last_hidden_state
        out["logits"] = model.lm_head(
            states[:, -kept:] if isinstance(kept, int) else states[:, kept])
        return out
