"""A small ViT and a small ConvNeXt on scikit-learn's digits: accuracy by rule and sparsity.

    python examples/vision/digits.py [--quick] [--json FILE]

Trains both from scratch (a minute each on two cores), prunes them by three rules with Wanda at 50
to 80 % of the weights in their blocks, from 128 training images without their labels, and prints
the accuracy on the 450 test images. ATP's step is the best of four on labelled training images; the
other rules see no label, and none sees a test image.
"""

from __future__ import annotations

import argparse
import copy
import json
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

import neurosparse as ns
from neurosparse.budgets import allocate, step_bounds
from neurosparse.measure import PropagationCollector, accuracy, paired_counts

SPARSITIES = (0.5, 0.6, 0.7, 0.8)
RULES = ("uniform", "arithmetic", "propagation")
STEPS = (0.25, 0.5, 0.75, 1.0)
TRAINED = 1347


def models() -> dict[str, nn.Module]:
    """Both, untrained, from one seed."""
    torch.manual_seed(0)
    vit = ViTForImageClassification(ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=64, num_hidden_layers=6,
        num_attention_heads=4, intermediate_size=128, num_labels=10))
    convnext = ConvNextForImageClassification(ConvNextConfig(
        num_channels=1, image_size=8, patch_size=2, num_stages=3, hidden_sizes=[32, 64, 96],
        depths=[2, 2, 2], num_labels=10, drop_path_rate=0.0))
    return {"ViT": vit, "ConvNeXt": convnext}


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (1797, 1, 8, 8) in [-1, 1] and labels, shuffled once."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = torch.from_numpy(digits.images[order]).float()[:, None] / 8 - 1
    return images, torch.from_numpy(digits.target[order]).long()


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """AdamW, batches of 64; warmed up and clipped, or a ViT may never leave chance."""
    torch.manual_seed(1)
    steps = epochs * -(-len(images) // 64)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps, pct_start=0.1)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(pixel_values=images[batch]).logits,
                                               labels[batch])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    model.eval().requires_grad_(False)


def best_step(dense: nn.Module, found: ns.budgets.Profile, sparsity: float, calibration: Any,
              chosen: tuple[torch.Tensor, torch.Tensor]) -> float:
    """ATP's step: trials on labelled training images, which the other rules do without."""
    scores = {}
    sizes = np.bincount(found.block, weights=found.sizes).astype(int).tolist()
    greatest = step_bounds(len(sizes), sparsity, sizes=sizes)[1]
    for step in (share * greatest for share in STEPS):
        model = copy.deepcopy(dense)
        ns.pruning.prune(model, allocate(found, sparsity, rule="arithmetic", step=step),
                         calibration, batch_size=64)
        scores[step] = accuracy(model, *chosen).value
    return max(scores, key=lambda step: scores[step])


def main() -> None:
    """Train, prune, print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few epochs, two sparsities")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    images, labels = data()
    seen, test = (images[:TRAINED], labels[:TRAINED]), (images[TRAINED:], labels[TRAINED:])
    calibration = seen[0][:128]
    table: dict[str, Any] = {}
    for name, dense in models().items():
        train(dense, *seen, epochs=8 if arguments.quick else 40)
        base = accuracy(dense, *test)
        print(f"{name}: dense {base.value:.3f} +- {base.stderr:.3f}")
        table[name] = {"dense": base.right.tolist()}
        for sparsity in SPARSITIES[:: 3 if arguments.quick else 1]:
            found = ns.measure.profile(dense, calibration, batch_size=64, evidence=[
                PropagationCollector(sparsity, windows=64)])
            cells, ours = [], None
            for rule in reversed(RULES):
                options: dict[str, Any] = {}
                if rule == "arithmetic":
                    options["step"] = best_step(dense, found, sparsity, calibration,
                                                (seen[0][128:640], seen[1][128:640]))
                model = copy.deepcopy(dense)
                ns.pruning.prune(model, allocate(found, sparsity, rule=rule, **options),
                                 calibration, batch_size=64)
                right = accuracy(model, *test)
                table[name][f"{rule}|{sparsity}"] = right.right.tolist()
                ours = ours or right
                won, lost = paired_counts(ours, right)
                cells.append(f"{rule} {right.value:.3f} +- {right.stderr:.3f}"
                             + (f" (ours +{won} -{lost})" if right is not ours else ""))
            print(f"  {sparsity:.0%}: " + "   ".join(cells), flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(table, file)


if __name__ == "__main__":
    main()
