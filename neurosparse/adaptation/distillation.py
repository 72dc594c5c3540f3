"""Losses: the next token, and what the dense model would have said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Logits are the largest tensor of a step; a piece of 2^23 numbers is 32 MB in float32.
_PIECE = 1 << 23


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean negative log-likelihood of the next token, nats.

    Parameters
    ----------
    logits : tensor of shape (windows, length, vocabulary)
    tokens : int64 tensor of shape (windows, length)
    """
    flat = logits[:, :-1].flatten(0, 1).float()
    return functional.cross_entropy(flat, tokens[:, 1:].flatten())


def kl_to_dense(logits: Tensor, dense: Tensor) -> Tensor:
    """Mean over tokens of ``KL(dense || sparse)``, nats.

    The gradient, ``(p_sparse - p_dense) / tokens``, is made in the same sweep as the value: one
    tensor of the size of the logits instead of five.

    Parameters
    ----------
    logits, dense : tensors of shape (windows, length, vocabulary)
    """
    out: Tensor = _Divergence.apply(logits.flatten(0, -2), dense.flatten(0, -2))  # type: ignore[no-untyped-call]
    return out


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, dense: Tensor) -> Tensor:
        grad = torch.empty_like(logits)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        step = max(1, _PIECE // logits.shape[1])
        for at in range(0, len(logits), step):
            ours = torch.log_softmax(logits[at : at + step].float(), -1)
            theirs = torch.log_softmax(dense[at : at + step].float(), -1)
            weight = theirs.exp()
            total += torch.sum(weight * (theirs - ours), dtype=torch.float64)
            grad[at : at + step] = ours.exp_().sub_(weight).div_(len(logits)).to(grad.dtype)
        ctx.save_for_backward(grad)
        return (total / len(logits)).to(torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor, None]:
        (grad,) = ctx.saved_tensors
        return grad * out.to(grad.dtype), None


def channel_error(dense: Tensor, sparse: Tensor) -> Tensor:
    """``mean_c |Y_c - Y'_c|^2 / |Y_c|^2`` over the channels that are not zero in the dense model.

    A channel of large activations counts as much as any other.

    Parameters
    ----------
    dense, sparse : tensors of shape (..., channels)

    Returns
    -------
    tensor of shape (), of their dtype
    """
    y, other = dense.flatten(0, -2), sparse.flatten(0, -2)
    power, error = y.square().sum(0), (y - other).square().sum(0)
    alive = power > 0
    return (error[alive] / power[alive]).sum() / alive.sum().clamp(min=1)


def blocks_to_dense(hidden: Sequence[Tensor], dense: Sequence[Tensor]) -> Tensor:
    """Mean of ``channel_error`` over blocks, float32: what LoSA gives ranks by, as a loss.

    Parameters
    ----------
    hidden, dense : sequences of tensors of shape (windows, length, width)
        Outputs of the blocks of what learns, and of the dense model.
    """
    return torch.stack([channel_error(theirs.float(), ours.float())
                        for ours, theirs in zip(hidden, dense, strict=True)]).mean()


def loss_of(model: nn.Module, tokens: Tensor, teacher: nn.Module | None, share: float,
            blocks: float = 0.0) -> Tensor:
    """``(1 - share) * next token + share * KL``, nats a token, ``+ blocks *`` error of the blocks.

    Parameters
    ----------
    model
        What learns.
    tokens : int64 tensor of shape (windows, length)
    teacher
        The dense model; needed where ``share`` or ``blocks`` is above 0.
    """
    asked: dict[str, Any] = {"use_cache": False}
    if blocks > 0:
        asked["output_hidden_states"] = True
    found = model(input_ids=tokens, **asked)
    logits: Tensor = found.logits
    loss = logits.new_zeros((), dtype=torch.float32)
    if share < 1:
        loss = loss + (1 - share) * next_token_loss(logits, tokens)
    if teacher is None or share == 0 == blocks:
        return loss
    with torch.no_grad():
        dense = teacher(input_ids=tokens, **asked)
    if share > 0:
        loss = loss + share * kl_to_dense(logits, dense.logits)
    if blocks > 0:
        # The first is the embedding, which nothing changes.
        loss = loss + blocks * blocks_to_dense(found.hidden_states[1:], dense.hidden_states[1:])
    return loss
