"""Operations counted, against counts by hand."""

from __future__ import annotations

import torch
from video.tiny_video import SIZE, tiny_video_model

from neurosparse.measure.operations import Operations, counted
from neurosparse.models import find_targets


def test_a_decoder_by_hand() -> None:
    model, _ = tiny_video_model("llava-onevision")
    targets, length = find_targets(model), 7
    with torch.no_grad(), counted(model, targets) as found:
        model(inputs_embeds=torch.randn(1, length, 32), use_cache=False, logits_to_keep=1)
    weights = sum(target.size for target in targets)
    # One row through the head; in 2 layers, 2 heads of width 16, scores and values.
    head, attention = 2 * 32 * SIZE, 2 * 2 * 2 * (2 * length * length * 16)
    assert found.dense == 2 * length * weights + head + attention
    assert found.rows == {target.name: length for target in targets}
    # Half of one linear gone: half of its products.
    one = targets[0]
    assert found.dense - found.without({one.name: one.size // 2}) == length * one.size


def test_sums() -> None:
    both = Operations(5, {"a": 2}) + Operations(7, {"a": 1, "b": 4})
    assert both == Operations(12, {"a": 3, "b": 4})
    assert both.without({"a": 1, "b": 1, "c": 9}) == 12 - 2 * 7
