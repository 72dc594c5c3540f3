"""The loops that write: the model's own forward, as a CUDA graph, and the compiled decoder."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from neurosparse.errors import InputError, ModelError, NeurosparseError
from neurosparse.models.last_row import last_row
from neurosparse.models.placement import settle
from neurosparse.sparse.decoder import Decoder
from neurosparse.sparse.graph_loop import GraphLoop

LOOPS = ("auto", "core", "graph", "torch")


class Loop(Protocol):
    """Reads a prompt, then writes a token a step, batch 1.

    ``about`` says which loop this is.
    """

    about: str

    def prefill(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (vocabulary,) after a prompt (1, length)."""

    def step(self, token: int) -> torch.Tensor:
        """Logits (vocabulary,) after one token more."""


class TorchLoop:
    """The model's forward with its key-value cache, one token a step."""

    about = "torch loop: transformers forward with its KV cache, one token a step, batch 1"

    def __init__(self, model: Any) -> None:
        self.model = model
        self._cache: Any = None

    def prefill(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (vocabulary,) after a prompt (1, length)."""
        self._cache = None
        return self._forward(tokens.reshape(1, -1).to(self.model.device))

    def step(self, token: int) -> torch.Tensor:
        """Logits (vocabulary,) after one token more."""
        return self._forward(torch.tensor([[token]], device=self.model.device))

    def _forward(self, tokens: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), last_row(self.model):
            out = self.model(input_ids=tokens, past_key_values=self._cache, use_cache=True,
                             logits_to_keep=1)
            self._cache = getattr(out, "past_key_values", None)
            if self._cache is None:
                raise ModelError("write token by token", found=f"{type(out).__name__} without a "
                                 "key-value cache", expected="a model that attends to one",
                                 mend="model.generate of transformers writes with any model.")
            logits: torch.Tensor = out.logits[0, -1]
            settle(logits)
            return logits


def check_loop(loop: str) -> None:
    """Refuse the name of no loop.

    Raises
    ------
    InputError
        As said.
    """
    if loop not in LOOPS:
        raise InputError("choose a loop", found=repr(loop), expected=", ".join(LOOPS))


def find_loop(model: Any, positions: int, loop: str = "auto") -> Loop:
    """The fastest loop that a model has, or the one asked for.

    Parameters
    ----------
    positions
        Tokens to be read and written in all.
    loop
        ``"core"``; ``"graph"``; ``"torch"``; ``"auto"``: on a CUDA card ``"graph"`` where the
        model's step can be captured; ``"core"`` where the model is of its family, on the CPU, in
        float32 or bfloat16, and what it must copy (weights that are dense) fits twice into the
        memory that is free; else ``"torch"``.

    Raises
    ------
    InputError
        An unknown loop.
    NeurosparseError
        ``"core"`` or ``"graph"`` for a model that it does not take.
    """
    check_loop(loop)
    fast = GraphLoop if loop == "graph" or (loop == "auto" and model.device.type == "cuda") else (
        Decoder)
    if loop == "torch" or (loop == "auto" and fast is Decoder and not _suits_core(model)):
        return TorchLoop(model)
    try:
        return fast(model, positions=positions)
    except NeurosparseError:
        if loop != "auto":
            raise
        return TorchLoop(model)


def _suits_core(model: Any) -> bool:
    if model.device.type != "cpu":
        return False
    copied = sum(module.weight.nbytes for module in model.modules() if type(module) is nn.Linear)
    return 2 * copied < _free_memory()


def _free_memory() -> float:
    """Bytes that could be had without swapping; infinite where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return math.inf
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return math.inf if found is None else 1024.0 * int(found[1])
