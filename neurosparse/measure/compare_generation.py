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
from neurosparse.measure.timing import python_share
from neurosparse.measure.turns import Summary, Turn, summarise
from neurosparse.progress import Progress, silent
from neurosparse.sparse import Decoder, Loop, find_loop

_PARTS = 8


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
        Seconds of a step by part, by model: see ``decode_parts``. Of a step without a graph where
        the loop has one, since nothing can be seen inside it.
    python
        Share of decode time outside torch's operators, by model, of such a step.
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
    loop: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, the turns included."""
        return asdict(self)


def compare_generation(
    packed: nn.Module, dense: nn.Module | None, prompt: torch.Tensor, *, steps: int = 48,
    rounds: int = 6, threads: int | None = None, names: tuple[str, str] = ("packed", "dense"),
    loop: str = "auto", probe: ReadProbe | None = None, progress: Progress = silent,
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
    loop
        ``"torch"``, ``"graph"``, ``"core"``, or ``"auto"``: the fastest that takes both models. A
        dense model in the core's loop is multiplied by the core's own dense products.
    probe
        Of the bandwidth; by default a sum over 256 MB.

    Returns
    -------
    GenerationComparison

    Raises
    ------
    InputError
        The prompt is empty or not a batch of one; not as many steps as rounds; no thread; an
        unknown loop.
    NeurosparseError
        ``loop="core"`` or ``"graph"`` and a model that it does not take.
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
        each = -(-steps // rounds)
        writers = _writers(models, prompt, prompt.shape[1] + each * (rounds + 1) + _PARTS, loop)
        turns = _turns(writers, each, rounds, seen, progress)
        busy = os.getloadavg()[0] / len(os.sched_getaffinity(0))
        parts = {name: _parts(writer, models[name], prompt) for name, writer in writers.items()}
        python = {name: part.pop("python") for name, part in parts.items()}
    moved = {name: _moved(writer, models[name]) for name, writer in writers.items()}
    summaries = summarise(turns, prompt=prompt.shape[1],
                          moved={name: found["all"] for name, found in moved.items()})
    return GenerationComparison(
        tuple(turns), tuple(summaries), moved, parts, python, prompt.shape[1],
        each * rounds, used, kernels.level(), busy, next(iter(writers.values())).loop.about)


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
    """One model's loop and what it has written last."""

    def __init__(self, loop: Loop, prompt: torch.Tensor) -> None:
        self.loop, self.prompt = loop, prompt
        self.token = int(loop.prefill(prompt).argmax())

    def prefill(self, count: int) -> Iterator[float]:
        begin = time.perf_counter()
        self.token = int(self.loop.prefill(self.prompt).argmax())
        yield time.perf_counter() - begin

    def decode(self, count: int) -> Iterator[float]:
        for _ in range(count):
            begin = time.perf_counter()
            self.token = int(self.loop.step(self.token).argmax())
            yield time.perf_counter() - begin


def _writers(models: dict[str, nn.Module], prompt: torch.Tensor, positions: int, loop: str
             ) -> dict[str, _Writer]:
    """Both in the same loop."""
    loops = {name: find_loop(model, positions, loop) for name, model in models.items()}
    if len({type(one) for one in loops.values()}) > 1:
        loops = {name: find_loop(model, positions, "torch") for name, model in models.items()}
    return {name: _Writer(one, prompt) for name, one in loops.items()}


def _parts(writer: _Writer, model: nn.Module, prompt: torch.Tensor) -> dict[str, float]:
    """Seconds of a step by part, and the share that is Python's."""
    if not isinstance(writer.loop, Decoder):
        return {**decode_parts(model, prompt), "python": python_share(model, prompt)}
    before = writer.loop.spent
    whole = sum(writer.decode(_PARTS))
    spent = {part: (seconds - before[part]) / _PARTS
             for part, seconds in writer.loop.spent.items()}
    inside = sum(spent.values()) * _PARTS
    outside = max(whole - inside, 0.0)
    spent["rest"] += outside / _PARTS
    return {**spent, "all": whole / _PARTS, "python": outside / whole}


def _moved(writer: _Writer, model: nn.Module) -> dict[str, int]:
    found = decode_bytes(model)
    if isinstance(writer.loop, Decoder):  # its own copies of what is dense, perhaps shorter
        dense = writer.loop.nbytes - found["packed"] - writer.loop.head_bytes
        found |= {"head": writer.loop.head_bytes, "dense": max(dense, 0)}
        found["all"] = found["packed"] + found["head"] + found["dense"]
    return found


def _turns(writers: dict[str, _Writer], steps: int, rounds: int, probe: ReadProbe,
           progress: Progress) -> list[Turn]:
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
