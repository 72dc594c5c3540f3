"""A loop that writes on a card: a token is one CUDA graph over a cache of fixed size.

Between the products of a small step Python takes longer than the card; a graph asks for all of a
step's kernels at once. What a graph remembers are places in memory, so that everything that changes
from step to step must lie on the card: the token, the keys and values, and how many there are. Of
transformers' caches that is so in layers that keep everything (``StaticLayer``); those that keep a
window count on the host. Here layers that attend to a window keep everything too, and the mask says
what they see. Whether a model's own code keeps to it cannot be read off it: the loop writes a few
tokens both ways before it is given to anyone.
"""

from __future__ import annotations

from typing import Any

import torch

from neurosparse.errors import InputError, NeurosparseError
from neurosparse.models.last_row import last_row
from neurosparse.models.placement import settle

# Of the check: tokens that are read, and written both ways.
_READ, _WRITTEN = 4, 3
# Two runs of the same kernels differ by the order of sums at most; a token that attends elsewhere
# has other logits altogether.
_APART = 1e-2


class GraphLoop:
    """A model's forward as a CUDA graph, one token a step, batch 1.

    Parameters
    ----------
    model
        Causal language model on a card, dense or packed.
    positions
        Tokens to be read and written in all.

    Raises
    ------
    NeurosparseError
        The model is elsewhere, its cache has layers of other kinds, its step cannot be captured
        (experts that are counted on the host), or the graph writes something else.
    """

    about = "graph loop: transformers forward over a static cache, a CUDA graph a step, batch 1"

    def __init__(self, model: Any, *, positions: int) -> None:
        self.model, self.positions = model, positions
        if model.device.type != "cuda":
            raise _refused("a model on a card", str(model.device))
        self._token = torch.zeros((1, 1), dtype=torch.int64, device=model.device)
        self._graph: Any = None
        self._cache: Any = None
        self._logits: Any = None
        self._read = self._steps = 0
        try:
            self._check()
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            told = (str(error).splitlines() or [""])[0]
            raise _refused("a step that can be captured", told) from error

    def prefill(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (vocabulary,) after a prompt (1, length)."""
        if tokens.numel() > self.positions:
            raise InputError("read a prompt", found=f"{tokens.numel()} tokens",
                             expected=f"at most {self.positions}")
        self._start()
        logits = self._forward(tokens.reshape(1, -1).to(self.model.device)).clone()
        self._read = tokens.numel()
        settle(logits)
        return logits

    def step(self, token: int) -> torch.Tensor:
        """Logits (vocabulary,) after one token more; the next step writes over them."""
        if self._read >= self.positions:
            raise InputError("write a token", found=f"{self._read} tokens",
                             expected=f"at most {self.positions}")
        self._token.fill_(token)
        if self._graph is None and self._steps:  # the first step has made what is made once
            self._graph = self._captured()
        if self._graph is None:
            self._logits = self._forward(self._token)
        else:
            self._graph.replay()
        self._read, self._steps = self._read + 1, self._steps + 1
        settle(self._logits)
        logits: torch.Tensor = self._logits
        return logits

    def _start(self) -> None:
        """An empty cache in the same memory as before, so that the graph stays the same."""
        self._read = 0
        if self._cache is not None:
            with torch.inference_mode():
                self._cache.reset()
            return
        self._cache = _cache_of(self.model, self.positions)

    def _forward(self, tokens: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), last_row(self.model):
            out = self.model(input_ids=tokens, past_key_values=self._cache, use_cache=True,
                             logits_to_keep=1)
            logits: torch.Tensor = out.logits[0, -1]
            return logits

    def _captured(self) -> Any:
        with torch.cuda.device(self.model.device):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._logits = self._forward(self._token)
        return graph

    def _check(self) -> None:
        """Write some tokens both ways: as a graph, and as the same forward without one."""
        room, self.positions = self.positions, _READ + _WRITTEN + 1
        prompt = torch.arange(1, _READ + 1)[None]
        ways = []
        for graph in (False, True):
            self.prefill(prompt)
            found = []
            for token in range(1, _WRITTEN + 2):
                if not graph:
                    self._graph, self._steps = None, 0
                found.append(self.step(token).float().cpu())
            ways.append(torch.stack(found))
        self.positions = room
        self._graph = self._cache = self._logits = None
        self._steps = 0
        apart = float((ways[0] - ways[1]).norm() / ways[0].norm())
        if not apart <= _APART:
            raise _refused("a graph that writes what the model writes", f"logits {apart:.1e} apart")


def _cache_of(model: Any, positions: int) -> Any:
    """Keys and values of so many positions, in every layer."""
    from transformers import StaticCache
    from transformers.cache_utils import StaticLayer, StaticSlidingWindowLayer

    cache = StaticCache(config=model.config, max_cache_len=positions)
    others = {type(one).__name__ for one in cache.layers
              if type(one) not in (StaticLayer, StaticSlidingWindowLayer)}
    if others:
        raise _refused("layers of keys and values", ", ".join(sorted(others)))
    cache.layers = [StaticLayer(max_cache_len=positions) for _ in cache.layers]
    return cache


def _refused(expected: str, found: str) -> NeurosparseError:
    return NeurosparseError("write with a CUDA graph", found=found, expected=expected)
