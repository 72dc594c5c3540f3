"""Where the time of a decode step goes: the linears, the head, and everything between."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from neurosparse.models import find_blocks
from neurosparse.models.linears import fused_experts, is_linear
from neurosparse.models.placement import settle
from neurosparse.sparse import SparseExperts, TorchLoop
from neurosparse.sparse.rows import PackedRows


def decode_parts(model: nn.Module, prompt: torch.Tensor, *, steps: int = 8) -> dict[str, float]:
    """Seconds of a greedy decode step by part, from hooks on the modules.

    Parameters
    ----------
    model
        Causal language model, dense or packed.
    prompt : int64 tensor of shape (1, length)
    steps
        Tokens to write; medians are given.

    Returns
    -------
    dict
        ``linears`` (linear maps and experts of the decoder blocks), ``head`` (the output
        embedding), ``rest`` (attention, norms, activations, and Python between them), ``all``.
    """
    spent: dict[str, float] = {}
    found: dict[str, list[float]] = {"linears": [], "head": [], "rest": [], "all": []}
    with _watched(model, spent):
        loop = TorchLoop(model)
        token = int(loop.prefill(prompt).argmax())
        for step in range(steps + 1):
            spent.update(linears=0.0, head=0.0)
            begin = time.perf_counter()
            token = int(loop.step(token).argmax())
            whole = time.perf_counter() - begin
            if step:
                rest = whole - spent["linears"] - spent["head"]
                for part, seconds in {**spent, "rest": rest, "all": whole}.items():
                    found[part].append(seconds)
    return {part: statistics.median(values) for part, values in found.items()}


@contextmanager
def _watched(model: Any, spent: dict[str, float]) -> Iterator[None]:
    """Add the time inside the outermost linear maps to ``spent``."""
    head = model.get_output_embeddings()
    parts = {id(head): "head"} if head is not None else {}
    watched: list[nn.Module] = [head] if head is not None else []
    for block in find_blocks(model).modules:
        for module in block.modules():
            experts = isinstance(module, SparseExperts) or fused_experts(module) is not None
            # The parts of experts are no modules of their own that are called.
            if experts or is_linear(module) or isinstance(module, PackedRows):
                watched.append(module)
    begun: list[float] = []

    def before(module: nn.Module, inputs: Any) -> None:
        begun.append(time.perf_counter())

    def after(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            settle(output)
        part = parts.get(id(module), "linears")
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - begun.pop()

    hooks = [hook for module in watched for hook in
             (module.register_forward_pre_hook(before), module.register_forward_hook(after))]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
