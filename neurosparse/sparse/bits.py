"""Masks as the packed format's bits, with torch operators on any device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from neurosparse import kernels
from neurosparse.errors import InputError


def pack_bits(mask: Tensor) -> Tensor:
    """Bits of a mask, as the packed format has them.

    Parameters
    ----------
    mask : bool tensor of shape (out, in)

    Returns
    -------
    uint8 tensor of shape (out, 8 * ceil(in / 64)), on the mask's device
        Bit j of byte k is column 8 k + j.
    """
    if mask.dtype != torch.bool or mask.ndim != 2:
        raise InputError("pack a mask", found=f"{mask.dtype} of shape {tuple(mask.shape)}",
                         expected="a bool tensor of shape (out, in)")
    if mask.device.type == "cpu":
        return torch.from_numpy(kernels.pack_mask(mask.detach().contiguous().numpy()))
    # On a card itself: the mask is eight times as much to carry over as its bits.
    rows, columns = mask.shape
    padded = torch.nn.functional.pad(mask.detach().to(torch.uint8), (0, -columns % 64))
    places = torch.arange(8, dtype=torch.uint8, device=mask.device)
    return (padded.view(rows, -1, 8) << places).sum(2, dtype=torch.uint8)


def unpack_bits(bits: Tensor, columns: int) -> Tensor:
    """The mask again, bool tensor of shape (rows, columns) on the bits' device."""
    return mask_rows(bits, columns, torch.uint8).bool()


@lru_cache(maxsize=16)
def _table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The eight bits of every byte as numbers, tensor of shape (256, 8)."""
    places = torch.arange(8)
    return ((torch.arange(256)[:, None] >> places) & 1).to(device=device, dtype=dtype)


def mask_rows(bits: Tensor, columns: int, dtype: torch.dtype) -> Tensor:
    """Ones where a bit is set, tensor of shape (rows, columns) and ``dtype``.

    A table of bytes: on the CPU several times faster than shifting every bit.
    """
    table = _table(dtype, bits.device)
    return table[bits.int()].flatten(1)[:, :columns]


def ones(rows: int, columns: int, device: torch.device | None = None) -> Tensor:
    """Bits of a mask that keeps everything."""
    return pack_bits(torch.ones(rows, columns, dtype=torch.bool)).to(device)


def count(bits: Tensor) -> int:
    """Entries that are kept."""
    return int(kernels.row_offsets(bits.detach().cpu().contiguous().numpy())[-1])
