"""How fast a model writes in the compiled decoder, beside what transformers makes of it."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from neurosparse.measure.loops import CoreLoop, find_loop

_WARM = 4


def core_decode_speed(model: Any, prompt: torch.Tensor, *, steps: int = 48) -> float | None:
    """Tokens a second of greedy decoding in the core loop: median over steps.

    The decoder keeps weights of its own of what is dense: measure peak memory before.

    Parameters
    ----------
    model
        Causal language model, dense or packed.
    prompt : int64 tensor of shape (1, length)
    steps
        Tokens to write.

    Returns
    -------
    float or None
        None where the decoder does not take this model, or memory would not hold its weights.
    """
    loop = find_loop(model, prompt.shape[1] + steps + _WARM)
    if not isinstance(loop, CoreLoop):
        return None
    token = int(loop.prefill(prompt).argmax())
    seconds = []
    for step in range(steps + _WARM):
        begin = time.perf_counter()
        token = int(loop.step(token).argmax())
        if step >= _WARM:
            seconds.append(time.perf_counter() - begin)
    return 1 / statistics.median(seconds)
