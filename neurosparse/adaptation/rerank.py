"""Change the rank that an adapter uses and lose nothing of what it has learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.adaptation.layer import MaskedLora
from neurosparse.errors import InputError

_FIRST, _SECOND = "exp_avg", "exp_avg_sq"


def set_rank(layer: MaskedLora, rank: int, *, state: Mapping[Tensor, Any] | None = None,
             adapter: str = "default") -> None:
    """Use ``rank`` rows of A and columns of B.

    Growing adds columns of zeros to B, so nothing changes. Shrinking keeps the largest singular
    values of B A and puts the rest of the update into the weight, so nothing changes either; the
    directions that were dropped wait in A, with zeros in B, for the rank to grow again.

    Parameters
    ----------
    rank
        1 to the rank that the adapter was made with.
    state
        The optimiser's (AdamW's moments): turned with the factors. The second moments are turned
        as if gradients were uncorrelated.

    Raises
    ------
    InputError
        Another rank.
    """
    most = layer.r[adapter]
    if not 1 <= rank <= most:
        raise InputError("change a rank", found=f"rank {rank}", expected=f"1 to {most}")
    before = layer.rank[adapter]
    a, b = layer.whole(adapter)
    with torch.no_grad():
        if rank < before and bool(b[:, :before].any()):
            turn = _turn(a.data, b.data, before)
            _turn_moments(a, b, turn, before, state or {})
            _into_weight(layer, adapter, rank, before)
    layer.rank[adapter] = rank


def _turn(a: Tensor, b: Tensor, rank: int) -> Tensor:
    """Factors in the order of the singular values of their product, in place.

    Returns
    -------
    tensor of shape (rank, rank)
        T of ``B' = B T`` and ``A' = T^-1 A``.
    """
    left, small_b = torch.linalg.qr(b[:, :rank].double())
    right, small_a = torch.linalg.qr(a[:rank].double().T)
    u, s, vt = torch.linalg.svd(small_b @ small_a.T)
    root = s.clamp_min(1e-12 * max(float(s[0]), 1e-300)).sqrt()
    b[:, :rank] = (left @ (u * root)).to(b.dtype)
    a[:rank] = ((root[:, None] * vt) @ right.T).to(a.dtype)
    turn: Tensor = torch.linalg.pinv(small_b) @ (u * root)
    return turn


def _turn_moments(a: nn.Parameter, b: nn.Parameter, turn: Tensor, rank: int,
                  state: Mapping[Tensor, Any]) -> None:
    """Gradients follow their factors: dB' = dB T^-T, dA' = T^T dA."""
    for parameter, matrix, rows in ((b, torch.linalg.pinv(turn).T, False), (a, turn.T, True)):
        found = state.get(parameter)
        if not found:
            continue
        for name, power in ((_FIRST, 1), (_SECOND, 2)):
            moment, by = found[name], (matrix**power).to(found[name].dtype)
            if rows:
                moment[:rank] = by @ moment[:rank]
            else:
                moment[:, :rank] = moment[:, :rank] @ by


def _into_weight(layer: MaskedLora, adapter: str, rank: int, before: int) -> None:
    """Add what the dropped directions say to the weight, under the mask."""
    a, b = layer.whole(adapter)
    layer.add_to_weight(adapter, a[rank:before], b[:, rank:before])
    b[:, rank:before] = 0.0
