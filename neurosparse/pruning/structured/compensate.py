"""Make the output projection do with what stays."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from neurosparse.errors import InputError

WAYS = ("least_squares", "bias", "none")


def find_way(compensate: bool | str) -> str:
    """``"least_squares"`` for True, ``"none"`` for False, else one of the words.

    Raises
    ------
    InputError
        Another word.
    """
    way = compensate
    if isinstance(compensate, bool):
        way = "least_squares" if compensate else "none"
    if way not in WAYS:
        raise InputError("prune in structures", found=f"compensate={compensate!r}",
                         expected=f"True, False, {', '.join(map(repr, WAYS))}")
    return str(way)


FEW = 8
"""Tokens for every input of a least-squares fit below which it fits what it has seen too well."""


def few_tokens(fits: Iterable[tuple[int, int]]) -> list[str]:
    """A note where output weights are fitted on fewer than 8 tokens an input (docs/structured.md).

    Parameters
    ----------
    fits
        Of every fit how many tokens it saw, and its inputs; the scarcest is told.
    """
    tokens, inputs = min(fits, key=lambda one: one[0] / one[1], default=(FEW, 1))
    if tokens >= FEW * inputs:
        return []
    return [f"{tokens:,} calibration tokens are few to fit weights of {inputs:,} inputs anew: the "
            f"cut model is worse on other text than it need be. Take {FEW * inputs:,} or more "
            "(--windows)"]


def least_squares(weight: Tensor, gram: Tensor, kept: Tensor, *, damping: float = 0.01) -> Tensor:
    """The weight on the kept inputs whose output is nearest to the whole weight's.

    Minimises ``||X W^T - X_K W'^T||^2 + d ||W' - W_K||^2``, whose solution is
    ``W' = W_K + W_D G_DK (G_KK + d I)^-1`` (D: what is dropped); with ``d = 0`` this is
    ``W G_:K G_KK^-1``. The damping draws towards the weight as it was, so that inputs hardly seen
    in calibration change little; it is ``damping`` times the mean of the diagonal of ``G_KK``.

    Parameters
    ----------
    weight : tensor of shape (out, in)
    gram : tensor of shape (in, in)
        ``X^T X`` of the inputs.
    kept : int64 tensor of shape (kept,)
        Inputs that stay.

    Returns
    -------
    weight : tensor of shape (out, kept), in the dtype of the old one
    """
    where = kept.to(gram.device)
    gone = torch.ones(len(gram), dtype=torch.bool, device=gram.device)
    gone[where] = False
    inner = gram[where][:, where].double()
    across = gram[gone][:, where].double()
    mean = float(inner.diagonal().mean())
    if not mean > 0:  # never seen: nothing to go by
        return weight[:, kept.to(weight.device)]
    inner.diagonal().add_(damping * mean)
    factor = torch.linalg.cholesky(inner)
    transfer = torch.cholesky_solve(across.T, factor).T.to(weight.device)  # (dropped, kept)
    old = weight.double()
    new = old[:, where.to(weight.device)] + old[:, gone.to(weight.device)] @ transfer
    return new.to(weight.dtype)


def mean_output(weight: Tensor, mean: Tensor, kept: Tensor) -> Tensor:
    """What the dropped inputs give on average: FLAP's bias, ``sum_c not in K W_:c mean(X_c)``.

    Parameters
    ----------
    weight : tensor of shape (out, in)
    mean : float64 tensor of shape (in,)
    kept : int64 tensor of shape (kept,)

    Returns
    -------
    bias : tensor of shape (out,), in the dtype of the weight
    """
    gone = mean.clone().to(weight.device)
    gone[kept.to(weight.device)] = 0.0
    return (weight.double() @ gone).to(weight.dtype)
