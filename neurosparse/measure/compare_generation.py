"""Two models taking turns at reading a prompt and writing, the memory probed before every turn."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.measure.bandwidth import ReadProbe
from neurosparse.measure.bytes_moved import decode_bytes
from neurosparse.measure.decode_parts import decode_parts
from neurosparse.measure.timing import LOOP, decode_step, python_share, settle
from neurosparse.measure.turns import Summary, Turn, summarise
from neurosparse.progress import Progress, silent


@dataclass(frozen=True)
class GenerationComparison:
    """What ``compare_generation`` measured.

    Attributes
    ----------
    turns
        Every turn, for statistics of one's own.
    summaries
        Medians with quartiles by job and memory mode.
    moved
        Bytes that a step of decoding reads, by model: see ``decode_bytes``.
    parts
        Seconds of a step by part, by model: see ``decode_parts``.
    python
        Share of decode time outside torch's operators, by model.
    prompt, steps, threads, level, loop
        Tokens read and written; threads of the products; instruction level; which loop.
    load
        Processes that wanted to run, a core: above about 1 others took time.
    """

    turns: tuple[Turn, ...]
    summaries: tuple[Summary, ...]
    moved: dict[str, dict[str, int]]
    parts: dict[str, dict[str, float]]
    python: dict[str, float]
    prompt: int
    steps: int
    threads: int
    level: str
    load: float
    loop: str = LOOP

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, the turns included."""
        return asdict(self)


def compare_generation(
    packed: nn.Module, dense: nn.Module | None, prompt: torch.Tensor, *, steps: int = 48,
    rounds: int = 6, threads: int | None = None, names: tuple[str, str] = ("packed", "dense"),
    probe: ReadProbe | None = None, progress: Progress = silent,
) -> GenerationComparison:
    """Time prefill and greedy decoding of two models in the same loop, turn by turn.

    A round is: the first model reads the prompt, the second reads it, the first writes some
    tokens, the second writes as many; the bandwidth of memory is measured between any two turns.
    A first round that warms up is not counted.

    Parameters
    ----------
    packed, dense
        Causal language models; the second may be None. ``dense_twin(packed)`` makes one.
    prompt : int64 tensor of shape (1, length)
    steps
        Tokens to write in all, at least one a round.
    rounds
        How many turns each model gets at each job.
    threads
        Of torch's and of our products, while this runs; as they are by default.
    names
        What the models are called in the result.
    probe
        Of the bandwidth; by default a sum over 256 MB.

    Returns
    -------
    GenerationComparison

    Raises
    ------
    InputError
        The prompt is empty or not a batch of one; not as many steps as rounds; no thread.
    """
    if prompt.ndim != 2 or prompt.shape[0] != 1 or prompt.shape[1] < 1:
        raise InputError("compare generation", found=f"a prompt of shape {tuple(prompt.shape)}",
                         expected="(1, length)")
    if not 1 <= rounds <= steps:
        raise InputError("compare generation", found=f"{steps} steps in {rounds} rounds",
                         expected="at least one round, and a step for each")
    models = {names[0]: packed} if dense is None else dict(zip(names, (packed, dense), strict=True))
    with using_threads(threads) as used, torch.inference_mode():
        seen = probe if probe is not None else ReadProbe(device=prompt.device)
        turns = _turns(models, prompt, -(-steps // rounds), rounds, seen, progress)
        busy = os.getloadavg()[0] / len(os.sched_getaffinity(0))
        parts = {name: decode_parts(model, prompt) for name, model in models.items()}
        python = {name: python_share(model, prompt) for name, model in models.items()}
    moved = {name: decode_bytes(model) for name, model in models.items()}
    summaries = summarise(turns, prompt=prompt.shape[1],
                          moved={name: found["all"] for name, found in moved.items()})
    return GenerationComparison(
        tuple(turns), tuple(summaries), moved, parts, python, prompt.shape[1],
        -(-steps // rounds) * rounds, used, kernels.level(), busy)


@contextmanager
def using_threads(threads: int | None) -> Iterator[int]:
    """So many threads for torch and for the kernels, in the body; yields how many.

    Raises
    ------
    InputError
        Not between 1 and 256.
    """
    before = torch.get_num_threads(), kernels.threads()
    if threads is not None:
        kernels.set_threads(threads)
        torch.set_num_threads(threads)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before[0])
        kernels.set_threads(before[1])


class _Writer:
    """One model and what it has read and written so far."""

    def __init__(self, model: nn.Module, prompt: torch.Tensor) -> None:
        self.model, self.prompt = model, prompt
        self.token, self.cache = self._read()

    def _read(self) -> tuple[torch.Tensor, Any]:
        out = self.model(input_ids=self.prompt, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1:].argmax(-1)
        settle(token)
        return token, out.past_key_values

    def prefill(self, count: int) -> Iterator[float]:
        begin = time.perf_counter()
        self._read()
        yield time.perf_counter() - begin

    def decode(self, count: int) -> Iterator[float]:
        for _ in range(count):
            begin = time.perf_counter()
            self.token = decode_step(self.model, self.token, self.cache)
            yield time.perf_counter() - begin


def _turns(models: dict[str, nn.Module], prompt: torch.Tensor, steps: int, rounds: int,
           probe: ReadProbe, progress: Progress) -> list[Turn]:
    writers = {name: _Writer(model, prompt) for name, model in models.items()}
    found: list[Turn] = []
    before = probe.read()
    for number in range(-1, rounds):
        progress("take turns", number + 1, rounds + 1)
        for kind in ("prefill", "decode"):
            for name, writer in writers.items():
                seconds = tuple(getattr(writer, kind)(steps))
                after = probe.read()
                if number >= 0:
                    found.append(Turn(name, kind, number, seconds, before, after))
                before = after
    progress("take turns", rounds + 1, rounds + 1)
    return found
