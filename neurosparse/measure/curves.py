"""Local error curves: what one linear's own pruning does to its own output."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from neurosparse.error_curves import error_curves
from neurosparse.errors import InputError
from neurosparse.pruning import InputStatistics, Method, row_counts, row_order


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

    Returns
    -------
    list of float
        By level; NaN where weights or Gram matrix are not finite, or their error overflows.
    """
    if inputs.gram is None:
        raise ValueError("local_error needs statistics with a Gram matrix")
    dense = weight.detach().float().cpu()
    gram = inputs.gram.float().cpu()
    rows, columns = dense.shape
    order = row_order(method.scores(weight, inputs)).cpu()
    rising = sorted(set(levels))
    counts = torch.stack([row_counts(rows, columns, round(level * weight.numel()))
                          for level in [*rising, 1.0]], dim=1)
    try:
        found = error_curves(dense.numpy(), gram.numpy(), order.numpy(), counts.numpy())
    except InputError:  # a linear that overflows: the profile of the others stands
        return [math.nan] * len(levels)
    # All weights gone: what is left of the output is nothing, its error is the signal.
    signal = float(found[-1])
    by_level = dict(zip(rising, found, strict=False))
    return [float(by_level[level]) / signal if signal else 0.0 for level in levels]
