"""Image classifiers: blocks, walks, profiles and pruning of ViT and ConvNeXt."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from neurosparse.budgets import allocate
from neurosparse.errors import InputError
from neurosparse.measure import (
    GainsCollector,
    PropagationCollector,
    SingleCollector,
    accuracy,
    paired_counts,
    profile,
)
from neurosparse.models import BlockWalk, find_blocks, find_targets, get_weight, reads_images
from neurosparse.pruning import Refit, prune


def _vit() -> nn.Module:
    torch.manual_seed(0)
    return ViTForImageClassification(ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=32, num_hidden_layers=3,
        num_attention_heads=2, intermediate_size=64, num_labels=5, initializer_range=0.3)).eval()


def _convnext() -> nn.Module:
    torch.manual_seed(0)
    return ConvNextForImageClassification(ConvNextConfig(
        num_channels=1, image_size=8, patch_size=2, num_stages=2, hidden_sizes=[16, 32],
        depths=[1, 2], num_labels=5, layer_scale_init_value=1.0, initializer_range=0.3)).eval()


MODELS = {"vit": (_vit, 3, 18), "convnext": (_convnext, 2, 6)}


def _images(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MODELS)
def test_blocks_and_walk_are_those_of_the_model(name: str) -> None:
    make, blocks, targets = MODELS[name]
    model = make()
    assert reads_images(model)
    assert len(find_blocks(model)) == blocks and len(find_targets(model)) == targets
    walk = BlockWalk(model, _images(), batch_size=4)
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
    with torch.no_grad():
        expected = model(pixel_values=_images()).logits
    found = torch.cat([walk.logits(0), walk.logits(1)])
    assert torch.allclose(found, expected, atol=1e-5)
    assert walk.pieces(0, 10) == [slice(0, None)]


@pytest.mark.parametrize("name", MODELS)
def test_damage_of_one_linear_is_that_of_the_whole_model(name: str) -> None:
    model = MODELS[name][0]()
    found = profile(model, _images(), evidence=[SingleCollector(0.5, windows=6),
                                                GainsCollector(0.5, windows=6)],
                    method="magnitude").evidence
    with torch.no_grad():
        dense = model(pixel_values=_images()).logits.double().log_softmax(-1)
        target = find_targets(model)[0]
        weight = get_weight(model, target)
        limit = weight.abs().sort(dim=1).values[:, weight.shape[1] // 2][:, None]
        weight.mul_(weight.abs() >= limit)
        sparse = model(pixel_values=_images()).logits.double().log_softmax(-1)
    nats = float((dense.exp() * (dense - sparse)).sum() / 6)
    assert found["single"]["nats"][0] == pytest.approx(nats, rel=1e-3)
    assert float(found["gains"]["together"]) > 0


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("refit", [None, Refit()])
def test_profile_and_prune(name: str, refit: Refit | None) -> None:
    model = MODELS[name][0]()
    found = profile(model, _images(), evidence=[PropagationCollector(0.6, windows=4), "owl"])
    done = prune(model, allocate(found, 0.6, rule="propagation"), _images(), refit=refit)
    assert done.sparsity == pytest.approx(0.6, abs=1e-3)
    one = accuracy(model, _images(), torch.zeros(6, dtype=torch.int64))
    assert one.right.shape == (6,) and sum(paired_counts(one, one)) == 0
    with pytest.raises(InputError, match="labels"):
        accuracy(model, _images(), torch.zeros(2))
    with pytest.raises(InputError, match="images, channels"):
        BlockWalk(model, torch.zeros(2, 3, dtype=torch.int64))
