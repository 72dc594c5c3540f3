"""KL divergence between two rows of logits that may lie very near to each other."""

from __future__ import annotations

import torch
from torch import Tensor

# Rows that are worked on together: few enough numbers to stay in the cache.
_NUMBERS = 2**18
# Beyond this change of a logit exp(d) - 1 - d is no more what keeps the digits.
_LARGE = 20.0


def divergence(dense: Tensor, found: Tensor) -> float:
    """Sum over rows of ``KL(softmax(dense) || softmax(found))``, nats.

    With ``d`` the change of the logits less its mean under ``p = softmax(dense)``, KL is
    ``log(1 + sum p (e^d - 1 - d))``: terms that are not negative, so that float32 keeps the digits
    of a damage that a difference of log-probabilities would drown.

    Parameters
    ----------
    dense, found : tensors of shape (..., vocabulary)
        Left as they are; worked on in float32.
    """
    width = dense.shape[-1]
    step = max(1, _NUMBERS // width)
    total = 0.0
    for z, other in zip(torch.split(dense.reshape(-1, width), step),
                        torch.split(found.reshape(-1, width), step), strict=True):
        total += float(_rows(z.float(), other.float()).double().sum())
    return total


def _rows(dense: Tensor, found: Tensor) -> Tensor:
    log_p = dense - dense.logsumexp(-1, keepdim=True)
    p = log_p.exp()
    change = found - dense
    change -= (p * change).sum(-1, keepdim=True)
    kl = torch.log1p((p * (torch.expm1(change) - change)).sum(-1))
    far = change.amax(-1) > _LARGE
    return torch.where(far, (log_p + change).logsumexp(-1), kl) if bool(far.any()) else kl
