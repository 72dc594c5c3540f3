"""How a Triton kernel divides its work: a few ways, timed once for a shape."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
import triton
from triton.testing import do_bench


class Config(NamedTuple):
    """One way to divide the work.

    rows
        Rows a program.
    block
        Bytes of the bitmap (eight columns each) a step.
    warps
        Warps a program.
    """

    rows: int
    block: int
    warps: int


_CHOSEN: dict[Hashable, Config] = {}


def choose(key: Hashable, configs: Sequence[Config], launch: Callable[[Config], None],
           device: torch.device) -> Config:
    """The fastest way for a shape, remembered by card.

    The first call of a key times each for some milliseconds with a cold L2, which waits for the
    device; later calls never do. While a CUDA graph is captured nothing can be timed, and off a GPU
    (the interpreter) there is nothing to time: both take the first.

    Parameters
    ----------
    key
        All that the time depends on.
    configs
        In the order of preference.
    launch
        Runs the kernel; may be called many times.
    """
    if device.type != "cuda":
        return configs[0]
    place = (key, torch.cuda.get_device_name(device))
    found = _CHOSEN.get(place)
    if found is None:
        if torch.cuda.is_current_stream_capturing():
            return configs[0]
        found = _CHOSEN[place] = min(configs, key=lambda config: _time(launch, config))
    return found


def _time(launch: Callable[[Config], None], config: Config) -> float:
    try:
        return float(do_bench(lambda: launch(config), warmup=5, rep=20, return_mode="median"))
    except triton.runtime.errors.OutOfResources:
        return float("inf")  # too much shared memory or too many registers for this card
