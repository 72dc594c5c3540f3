"""Local error curves: what one linear's own pruning does to its own output."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neurosparse.pruning import InputStatistics, Method, lowest_by_row, row_order


def local_error(weight: torch.Tensor, inputs: InputStatistics, method: Method,
                levels: Sequence[float]) -> list[float]:
    """Relative squared output error of one linear at several rates.

    ``eps(s) = |X (W_s - W)^T|_F^2 / |X W^T|_F^2`` with X the dense inputs (theory.md section 1),
    computed exactly from the Gram matrix: ``tr(D G D^T)`` with ``D = W_s - W``, ``G = X^T X``.

    Parameters
    ----------
    weight : tensor of shape (out, in)
    inputs
        Statistics with their Gram matrix.
    method
        Chooses the masks.
    levels
        Rates in [0, 1].
    """
    if inputs.gram is None:
        raise ValueError("local_error needs statistics with a Gram matrix")
    dense = weight.float()
    gram = inputs.gram.to(dense.device)
    scores = method.scores(weight, inputs)
    order = row_order(scores)
    signal = _energy(dense, gram)
    errors = []
    for level in levels:
        keep = lowest_by_row(scores, round(level * weight.numel()), order=order)
        errors.append(_energy(dense.masked_fill(keep, 0.0), gram) / signal if signal else 0.0)
    return errors


def _energy(matrix: torch.Tensor, gram: torch.Tensor) -> float:
    """``tr(M G M^T)``; not below zero, which rounding could make of a zero."""
    return max(float(((matrix @ gram) * matrix).sum(dtype=torch.float64)), 0.0)
