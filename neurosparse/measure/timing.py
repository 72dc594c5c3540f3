"""How fast a model reads a prompt and writes text: prefill and decode apart."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from neurosparse.errors import InputError
from neurosparse.models.last_row import last_row
from neurosparse.models.placement import settle
from neurosparse.sparse import Loop, TorchLoop

WARM_STEPS = 4

@dataclass(frozen=True)
class GenerationSpeed:
    """Tokens a second, with what stands behind them.

    Attributes
    ----------
    prefill, decode
        Tokens a second; medians over repeats and steps.
    prompt, steps
        Tokens read, tokens written.
    loop
        Which loop wrote them.
    """

    prefill: float
    decode: float
    prompt: int
    steps: int
    loop: str


def generation_speed(model: nn.Module, prompt: torch.Tensor, *, steps: int = 48, repeats: int = 3
                     ) -> GenerationSpeed:
    """Time prefill and greedy decoding in transformers' loop.

    Parameters
    ----------
    model
        Causal language model, dense or packed.
    prompt, steps, repeats
        As in ``loop_speed``.

    Raises
    ------
    InputError
        The prompt is empty or not a batch of one.
    """
    return loop_speed(TorchLoop(model), prompt, steps=steps, repeats=repeats)


def loop_speed(loop: Loop, prompt: torch.Tensor, *, steps: int = 48, repeats: int = 3
               ) -> GenerationSpeed:
    """Time prefill and greedy decoding in a loop.

    Parameters
    ----------
    loop
        From ``sparse.find_loop``, with room for the prompt, the steps and four more.
    prompt : int64 tensor of shape (1, length)
    steps
        Tokens to write; four before them warm up.
    repeats
        Prefills; the median is reported. The first, which warms caches up, is not counted.

    Raises
    ------
    InputError
        The prompt is empty or not a batch of one.
    """
    if prompt.ndim != 2 or prompt.shape[0] != 1 or prompt.shape[1] < 1:
        raise InputError("time generation", found=f"a prompt of shape {tuple(prompt.shape)}",
                         expected="(1, length)")
    reads, writes, token = [], [], 0
    for turn in range(repeats + 1):
        begin = time.perf_counter()
        token = int(loop.prefill(prompt).argmax())
        if turn:
            reads.append(time.perf_counter() - begin)
    for step in range(steps + WARM_STEPS):
        begin = time.perf_counter()
        token = int(loop.step(token).argmax())
        if step >= WARM_STEPS:
            writes.append(time.perf_counter() - begin)
    return GenerationSpeed(
        prefill=prompt.shape[1] / statistics.median(reads),
        decode=1 / statistics.median(writes),
        prompt=prompt.shape[1], steps=steps, loop=loop.about,
    )


def prefill_speed(model: nn.Module, prompt: torch.Tensor, *, repeats: int = 3) -> float:
    """Prompt tokens a second in the model's forward; it needs no cache to write on from.

    Parameters
    ----------
    model
        Causal language model, dense or packed.
    prompt, repeats
        As in ``loop_speed``.
    """
    reads = []
    with torch.inference_mode(), last_row(model):
        for _ in range(repeats + 1):
            begin = time.perf_counter()
            settle(model(input_ids=prompt, use_cache=False, logits_to_keep=1).logits)
            reads.append(time.perf_counter() - begin)
    return prompt.shape[1] / statistics.median(reads[1:])


def python_share(model: nn.Module, prompt: torch.Tensor, *, steps: int = 6) -> float:
    """Share of decode time in transformers' loop outside torch's operators, in [0, 1].

    The kernels of packed linears are operators. From a run of some steps under torch's profiler,
    which adds to both parts and takes some hundred megabytes: measure memory before.

    Parameters
    ----------
    model
        Causal language model, dense or packed.
    prompt : int64 tensor of shape (1, length)
    steps
        Tokens to write.
    """
    loop = TorchLoop(model)
    token = int(loop.prefill(prompt).argmax())
    token = int(loop.step(token).argmax())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        begin = time.perf_counter()
        for _ in range(steps):
            token = int(loop.step(token).argmax())
        wall = time.perf_counter() - begin
    inside = sum(event.self_cpu_time_total for event in seen.key_averages()) * 1e-6
    return float(min(max(1 - inside / wall, 0.0), 1.0))
