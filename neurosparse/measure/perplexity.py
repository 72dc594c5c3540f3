"""Perplexity with its error (protocol of docs/protocol.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurosparse.errors import InputError
from neurosparse.models import BlockWalk, check_length, is_streamed
from neurosparse.progress import Progress, silent

# Logits are the largest tensor of a pass; 2^27 numbers are 512 MB in float32.
_LOGITS = 2**27


@dataclass(frozen=True)
class Perplexity:
    """Perplexity ``exp(sum nll / predictions)`` over windows.

    Attributes
    ----------
    nll : array of shape (windows,)
        Mean negative log-likelihood of each window, nats a token.
    predictions
        Predictions a window (its length less one).
    """

    nll: NDArray[np.float64]
    predictions: int

    @property
    def value(self) -> float:
        """The perplexity."""
        mean = float(self.nll.mean())
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def stderr(self) -> float:
        """Standard error of the perplexity over windows (first order); nan for one window."""
        if len(self.nll) < 2:
            return math.nan
        return self.value * float(self.nll.std(ddof=1)) / math.sqrt(len(self.nll))


def perplexity(model: nn.Module, tokens: torch.Tensor, *, batch_size: int = 4,
               progress: Progress = silent) -> Perplexity:
    """Perplexity of a causal language model on windows of tokens.

    Parameters
    ----------
    model
        Any causal model of transformers, dense or packed; a streamed one is walked by block.
    tokens : int64 tensor of shape (windows, length)
        The first token of a window is not predicted.
    batch_size
        Windows a forward pass; made smaller where the vocabulary is large.

    Raises
    ------
    InputError
        ``tokens`` is empty, or its windows are shorter than two tokens or longer than the model's
        context.
    """
    if tokens.ndim != 2 or tokens.shape[0] < 1 or tokens.shape[1] < 2:
        raise InputError("perplexity", found=f"tokens of shape {tuple(tokens.shape)}",
                         expected="(windows, length) with at least one window of two tokens")
    check_length(model, tokens.shape[1], "perplexity")
    vocabulary = model.get_output_embeddings().weight.shape[0]  # type: ignore[operator]
    fits = max(1, _LOGITS // (vocabulary * tokens.shape[1]))
    batch_size = min(batch_size, fits, len(tokens))
    batches = [tokens[i : i + batch_size] for i in range(0, len(tokens), batch_size)]
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        if is_streamed(model):
            walk = BlockWalk(model, tokens, batch_size=batch_size)
            for index in range(walk.n_blocks):
                with walk.block(index):
                    walk.run(index, keep=True)
                progress("perplexity", index + 1, walk.n_blocks)
            found = [_nll(walk.logits(number), batch) for number, batch in enumerate(batches)]
        else:
            device = model.get_input_embeddings().weight.device  # type: ignore[operator]
            for batch in batches:
                logits = model(input_ids=batch.to(device), use_cache=False).logits
                found.append(_nll(logits, batch))
                progress("perplexity", sum(map(len, found)), len(tokens))
    return Perplexity(torch.cat(found).double().numpy(), tokens.shape[1] - 1)


def _nll(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood of each window, tensor of shape (windows,)."""
    rows = []
    # Window by window: the float32 copy of the logits and their softmax stay small.
    for row, target in zip(logits, tokens.to(logits.device), strict=True):
        loss = nn.functional.cross_entropy(row[:-1].float(), target[1:], reduction="none")
        rows.append(loss.double().mean())
    return torch.stack(rows).cpu()


def paired_difference(first: Perplexity, second: Perplexity) -> tuple[float, float]:
    """Mean of ``second - first`` in nats a token over the same windows, and its standard error.

    Raises
    ------
    InputError
        The windows are not as many.
    """
    if first.nll.shape != second.nll.shape:
        raise InputError("compare perplexities",
                         found=f"{len(first.nll)} and {len(second.nll)} windows",
                         expected="the same windows")
    gap = second.nll - first.nll
    error = float(gap.std(ddof=1)) / math.sqrt(len(gap)) if len(gap) > 1 else math.nan
    return float(gap.mean()), error
