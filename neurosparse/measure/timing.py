"""How fast a model reads a prompt and writes text: prefill and decode apart."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from neurosparse.errors import InputError

LOOP = "neurosparse greedy loop: transformers forward with its KV cache, one token a step, batch 1"


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
    loop: str = LOOP


def generation_speed(model: nn.Module, prompt: torch.Tensor, *, steps: int = 48, repeats: int = 3
                     ) -> GenerationSpeed:
    """Time prefill and greedy decoding.

    Parameters
    ----------
    model
        Causal language model, dense or packed.
    prompt : int64 tensor of shape (1, length)
    steps
        Tokens to write.
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
    reads, writes = [], []
    with torch.inference_mode():
        for turn in range(repeats + 1):
            begin = time.perf_counter()
            out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
            settle(out.logits)
            if turn:
                reads.append(time.perf_counter() - begin)
        token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
        for step in range(steps + 4):
            begin = time.perf_counter()
            token = decode_step(model, token, cache)
            if step >= 4:
                writes.append(time.perf_counter() - begin)
    return GenerationSpeed(
        prefill=prompt.shape[1] / statistics.median(reads),
        decode=1 / statistics.median(writes),
        prompt=prompt.shape[1], steps=steps,
    )


def settle(tensor: torch.Tensor) -> None:
    """Wait until a tensor's device has computed it."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def decode_step(model: nn.Module, token: torch.Tensor, cache: object) -> torch.Tensor:
    """Write one token greedily.

    Parameters
    ----------
    token : int64 tensor of shape (1, 1)
    cache
        Of what was read before; the token is added to it.

    Returns
    -------
    int64 tensor of shape (1, 1)
    """
    out = model(input_ids=token, past_key_values=cache, use_cache=True)
    chosen: torch.Tensor = out.logits[:, -1:].argmax(-1)
    settle(chosen)
    return chosen


def python_share(model: nn.Module, prompt: torch.Tensor, *, steps: int = 6) -> float:
    """Share of decode time spent outside torch's operators, in [0, 1].

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
    with torch.inference_mode():
        out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
        token = decode_step(model, token, cache)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            begin = time.perf_counter()
            for _ in range(steps):
                token = decode_step(model, token, cache)
            wall = time.perf_counter() - begin
    inside = sum(event.self_cpu_time_total for event in seen.key_averages()) * 1e-6
    return float(min(max(1 - inside / wall, 0.0), 1.0))
