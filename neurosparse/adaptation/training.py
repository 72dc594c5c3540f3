"""A plain training loop whose state is all in one place, so that it can be cut off and go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.adaptation.distillation import loss_of
from neurosparse.errors import DivergenceError, InputError


@dataclass(frozen=True)
class TrainOptions:
    """How the parameters learn.

    Attributes
    ----------
    learning_rate
        Of AdamW at its highest; rises over ``warmup`` of the steps, falls as a cosine to zero.
    warmup
        Share of the steps.
    weight_decay, clip
        Of AdamW; greatest norm of a gradient.
    batch_size
        Windows an optimiser step.
    micro_batch
        Windows a forward pass; all of the batch by default.
    seed
        Of the order of the windows and of dropout.
    distill
        Share of the loss that is the divergence from the dense model, in [0, 1].
    distill_blocks
        What the relative error of the blocks' outputs against the dense model's counts beside that,
        in nats a token for an error of 1.
    dtype
        Of matrix products, by autocast; the model's own by default.
    checkpointing
        Recompute activations in the backward pass, for memory.

    Raises
    ------
    InputError
        A value is out of its range.
    """

    learning_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    batch_size: int = 2
    micro_batch: int | None = None
    seed: int = 0
    distill: float = 0.0
    distill_blocks: float = 0.0
    dtype: torch.dtype | None = None
    checkpointing: bool = False

    def __post_init__(self) -> None:
        micro = self.micro_batch
        checks = {
            "learning_rate": (0 < self.learning_rate < math.inf, "a number > 0"),
            "warmup": (0 <= self.warmup < 1, "a share in [0, 1)"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "clip": (self.clip > 0, "a number > 0"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "a number >= 0"),
            "distill": (0 <= self.distill <= 1, "a share in [0, 1]"),
            "distill_blocks": (0 <= self.distill_blocks < math.inf, "a number >= 0"),
            "micro_batch": (micro is None or 1 <= micro <= self.batch_size,
                            f"1 to {self.batch_size}, the batch_size"),
        }
        for name, (good, expected) in checks.items():
            if not good:
                raise InputError("train", found=f"{name} {getattr(self, name)!r}",
                                 expected=expected)

    @property
    def taught(self) -> bool:
        """Whether the dense model is needed."""
        return self.distill > 0 or self.distill_blocks > 0


def order_of(windows: int, options: TrainOptions) -> list[list[int]]:
    """Which windows each optimiser step sees; the last, unfull batch is left out."""
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(windows, generator=generator).tolist()
    size = options.batch_size
    return [order[at : at + size] for at in range(0, windows - size + 1, size)]


def rate_at(step: int, total: int, options: TrainOptions) -> float:
    """Learning rate of a step (from 0)."""
    warm = max(1, round(options.warmup * total))
    if step < warm:
        return options.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, total - warm)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class Training:
    """One optimiser over some parameters, for a known number of steps.

    Parameters
    ----------
    model
        Of transformers, causal.
    parameters
        What learns; float32 masters whatever the model computes in.
    total
        Optimiser steps of the whole run, for the schedule.
    teacher
        The dense model, where ``options.taught``.

    Raises
    ------
    InputError
        Distillation without a teacher.
    """

    def __init__(self, model: nn.Module, parameters: Sequence[nn.Parameter], total: int,
                 options: TrainOptions, teacher: nn.Module | None = None) -> None:
        if options.taught and teacher is None:
            raise InputError("train", found="distillation without a teacher",
                             expected="the dense model")
        self.model, self.options, self.teacher, self.total = model, options, teacher, total
        self.parameters = list(parameters)
        self.optimiser = torch.optim.AdamW(self.parameters, lr=options.learning_rate,
                                           weight_decay=options.weight_decay)
        self.done = 0
        self.losses: list[float] = []

    def step(self, tokens: Tensor) -> float:
        """One optimiser step on a batch of windows; its loss in nats a token.

        Raises
        ------
        DivergenceError
            The loss or its gradient is not finite; nothing was changed.
        """
        options = self.options
        self.optimiser.zero_grad(set_to_none=True)
        size = options.micro_batch or len(tokens)
        device = next(self.model.parameters()).device
        total = 0.0
        # Dropout draws from torch's generator: its own stream a step, so that resuming needs none.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed((options.seed << 32) + self.done)
            for at in range(0, len(tokens), size):
                part = tokens[at : at + size].to(device)
                with torch.autocast(device.type, options.dtype,
                                    enabled=options.dtype is not None):
                    loss = loss_of(self.model, part, self.teacher, options.distill,
                                   options.distill_blocks)
                (loss * (len(part) / len(tokens))).backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach()) * len(part) / len(tokens)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, options.clip))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise DivergenceError(
                f"train, step {self.done + 1}", found=f"loss {total}, gradient norm {norm}",
                expected="finite numbers",
                mend="Lower the learning rate; the last checkpoint is as it was.")
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.done, self.total, options)
        self.optimiser.step()
        self.done += 1
        self.losses.append(total)
        return total

    def state(self) -> dict[str, Tensor]:
        """Moments of every parameter by its number."""
        found: dict[str, Tensor] = {}
        for number, parameter in enumerate(self.parameters):
            for name, value in self.optimiser.state.get(parameter, {}).items():
                found[f"{number}.{name}"] = torch.as_tensor(value)
        return found

    def put_back(self, state: dict[str, Tensor], done: int, losses: Sequence[float]) -> None:
        """Go on where another run was."""
        for key, value in state.items():
            number, _, name = key.partition(".")
            parameter = self.parameters[int(number)]
            entry: dict[str, Any] = self.optimiser.state[parameter]
            # AdamW counts its steps on the CPU.
            entry[name] = value.clone() if name == "step" else value.to(parameter.device, copy=True)
        self.done, self.losses = done, list(losses)
