"""What does a step of masked LoRA take on a 7B model, against PEFT's LoRA without a mask?

    python benchmarks/gpu/bench_losa_step.py [--small] [--out FILE]

Llama-2-7B's shapes in bf16 at 70 %, 4 windows of 1024 tokens, rank 8 on every linear of the blocks,
factors in float32, AdamW, the library's own training loop for both forms, one after the other since
both do not fit at once. One step of LoSA is a pruning and 100 such steps.

Counted first: PEFT's backward pass multiplies every gradient with the weight alone; the gradient of
a masked update needs M o (G^T X) too, a third product of the same size. Where products decide, no
form of masked LoRA can be below 3/2 of PEFT's time (4/3 with activations computed again).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from bench_wanda import forward_operations
from card import Row, Where, free, script
from peft import LoraConfig, get_peft_model
from shapes import dense_model, tokens

from neurosparse.adaptation import TrainOptions
from neurosparse.adaptation.config import linears_of
from neurosparse.adaptation.learners import LowRank, masks_of
from neurosparse.adaptation.training import Training
from neurosparse.budgets import allocate
from neurosparse.measure import sizes_only
from neurosparse.models import find_targets
from neurosparse.pruning import prune

SPARSITY, RANK, WINDOWS, LENGTH, STEPS, PUBLISHED_STEPS = 0.7, 8, 4, 1024, 12, 100
TIMES, MEMORY, MINUTES, PRUNINGS = 1.15, 1.05, 45.0, 5


def learner(where: Where, form: str, steps: int, batch: torch.Tensor, again: bool
            ) -> tuple[Training, float, float]:
    """The form's training over a fresh model, what pruning took, operations of a forward pass."""
    model: Any = dense_model(where)
    seconds, operations = 0.0, forward_operations(model, batch)
    if form == "ours":
        budget = allocate(sizes_only(model), SPARSITY, rule="uniform")
        text = tokens(where, 4 if where.small else 32, 16 if where.small else 2048)
        seconds, _, _ = where.once(lambda: prune(model, budget, text, store="device"))
        targets = find_targets(model)
        adapter = LowRank(model, targets, RANK)
        adapter.attach(masks_of(model, targets))
        parameters = adapter.parameters()
    else:
        chosen = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=linears_of(model))
        model = get_peft_model(model, chosen)
        parameters = [one for one in model.parameters() if one.requires_grad]
    model.train()
    if again:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    options = TrainOptions(batch_size=WINDOWS, dtype=torch.bfloat16)
    return Training(model, parameters, steps, options), seconds, operations


@dataclass(frozen=True)
class Found:
    """Seconds of a step, greatest memory, seconds of the pruning, operations of a forward pass."""

    seconds: float
    peak: float
    pruning: float
    operations: float
    loss: float


def run(where: Where, form: str, again: bool) -> Found:
    """A form by itself; ``again``: activations are computed again in the backward pass."""
    steps = 2 if where.small else STEPS
    batch = tokens(where, WINDOWS, 16 if where.small else LENGTH)
    training, pruning, operations = learner(where, form, steps + 2, batch, again)
    free(where)
    training.step(batch)
    _, peak, _ = where.once(lambda: training.step(batch))
    seconds = where.time(lambda: training.step(batch), turns=steps - 1, warm=1)
    return Found(seconds, peak, pruning, operations, training.losses[-1])


def both(where: Where, again: bool) -> tuple[Found, Found]:
    """PEFT first: it is the larger, so that what does not fit is known soon."""
    theirs = run(where, "PEFT", again)
    free(where)
    ours = run(where, "ours", again)
    free(where)
    return ours, theirs


def measure(where: Where) -> list[Row]:
    """Both forms, in the same way: with activations computed again where one does not fit."""
    again = False
    try:
        ours, theirs = both(where, again)
    except torch.OutOfMemoryError:
        again = True
    if again:  # outside the handler, which would keep what did not fit
        free(where)
        ours, theirs = both(where, again)
    whole = ours.pruning + PUBLISHED_STEPS * ours.seconds
    times = ours.seconds / theirs.seconds
    forwards = (4, 3) if again else (3, 2)
    return [
        Row("a step of masked LoRA against PEFT's LoRA, 4 x 1024", 1e3 * ours.seconds, "ms",
            1e3 * theirs.seconds, 1e3 * where.floor(operations=forwards[0] * ours.operations),
            goal=f"<= {TIMES}x PEFT (is {times:.2f}x)", met=times <= TIMES,
            notes={"loss": ours.loss, "checkpointing": again, "peft_floor_ms": 1e3 * where.floor(
                operations=forwards[1] * ours.operations)}),
        Row("memory of it", ours.peak, "GiB", theirs.peak, goal=f"<= {MEMORY}x PEFT",
            met=ours.peak <= MEMORY * theirs.peak),
        Row("one LoSA step: a pruning and 100 steps", whole, "s",
            notes={"pruning_s": ours.pruning,
                   "five_steps_minutes": PRUNINGS * whole / 60, "published_minutes": MINUTES}),
    ]


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
