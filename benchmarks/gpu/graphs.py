"""Calls as a CUDA graph: what a kernel takes, without the time that Python needs to ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from card import Where, error


class Graph:
    """A call that can be repeated; captured on a card, called again elsewhere.

    Parameters
    ----------
    where
        The device.
    call
        Reads and writes the same tensors every time; must not wait for the card.
    warm
        Calls before, which compile and tune.
    """

    def __init__(self, where: Where, call: Callable[[], Any], *, warm: int = 2) -> None:
        self._call = call
        self._graph: Any = None
        if not where.on_card:
            self.made = call()
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warm):
                call()
        torch.cuda.current_stream().wait_stream(side)
        where.settle()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self.made = call()

    def __call__(self) -> None:
        """Again."""
        if self._graph is None:
            self.made = self._call()
        else:
            self._graph.replay()


class Rotating:
    """Calls over copies of one matrix that together outgrow the L2, as one graph.

    Parameters
    ----------
    call
        ``call(x, i)`` multiplies x with copy i.
    """

    def __init__(self, where: Where, call: Callable[[torch.Tensor, int], torch.Tensor],
                 copies: int, shape: tuple[int, ...]) -> None:
        self.where, self.copies = where, copies
        self.x = torch.randn(copies, *shape, device=where.device, dtype=torch.bfloat16)
        self._graph = Graph(where, lambda: [call(self.x[i], i) for i in range(copies)])

    def fresh(self) -> None:
        """New inputs, and outputs that show what was not written."""
        self.x.normal_()
        for out in self._graph.made:
            out.fill_(float("nan"))

    def __call__(self) -> None:
        """All copies once."""
        self._graph()

    def error(self, weight: torch.Tensor, copy: int = 0) -> float:
        """Relative error of one copy's outputs of the last turn; ``weight`` in float64."""
        return error(self._graph.made[copy], self.x[copy].double() @ weight.T)


def copies_of(where: Where, nbytes: int) -> int:
    """Copies that together are three times the L2."""
    return max(2 if where.small else 4, -(-3 * where.cache // nbytes))


def race(where: Where, cases: dict[str, Rotating], *, turns: int) -> dict[str, float]:
    """Median seconds of one call of each, taking turns, with fresh inputs before every turn."""
    turns, warm = (1, 0) if where.small else (turns, 3)
    found: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(turns + warm):
        for name, case in cases.items():
            case.fresh()
            seconds = where.clock(case)
            if turn >= warm:
                found[name].append(seconds / case.copies)
    return {name: sorted(times)[len(times) // 2] for name, times in found.items()}
