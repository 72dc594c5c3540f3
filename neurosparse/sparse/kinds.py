"""The kinds of stored values, and the dtypes that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neurosparse import kernels
from neurosparse.errors import InputError

VALUES = ("bf16", "fp16", "fp32", "int8", "int4")
GROUPED = ("int8", "int4")
"""Kinds that may have a scale for every group of columns; int4 always has."""
GROUP = 64
"""Columns of a group where nobody says."""


@dataclass(frozen=True)
class Kind:
    """One kind of stored values.

    name
        ``"bf16"``, ``"fp16"``, ``"fp32"``, ``"int8"`` or ``"int4"``.
    dtype
        Of the packed values; two int4 values share an item.
    bits
        The same bytes as NumPy takes them: bf16 and fp16 travel as uint16 patterns.
    dense
        Of everything in the same file that is not packed.
    """

    name: str
    dtype: torch.dtype
    bits: torch.dtype
    dense: torch.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one item: a value, or two of int4."""
        return self.dtype.itemsize

    def length(self, nnz: int) -> int:
        """Items of ``nnz`` values, padding included."""
        return kernels.padded_length(-(-nnz // 2) if self.name == "int4" else nnz, self.itemsize)


_KINDS = {
    "bf16": Kind("bf16", torch.bfloat16, torch.uint16, torch.bfloat16),
    "fp16": Kind("fp16", torch.float16, torch.uint16, torch.float16),
    "fp32": Kind("fp32", torch.float32, torch.float32, torch.float32),
    "int8": Kind("int8", torch.int8, torch.int8, torch.bfloat16),
    "int4": Kind("int4", torch.uint8, torch.uint8, torch.bfloat16),
}
_BY_DTYPE = {kind.dtype: kind for kind in _KINDS.values()}


def find_kind(name: str) -> Kind:
    """Kind of a name.

    Raises
    ------
    InputError
        The name is not one of ``VALUES``.
    """
    if name not in _KINDS:
        raise InputError("pack", found=f"values={name!r}", expected=f"one of {', '.join(VALUES)}")
    return _KINDS[name]


def find_group(values: str, group_size: int | None) -> int | None:
    """Columns that share a scale, or None where a row does or there are no scales.

    Raises
    ------
    InputError
        A size that is none of ``kernels.GROUPS``, or one for values without scales.
    """
    find_kind(values)
    if group_size is None:
        return GROUP if values == "int4" else None
    if values not in GROUPED:
        raise InputError("pack", found=f"group_size={group_size} with values={values!r}",
                         expected=f"values {' or '.join(GROUPED)}")
    if isinstance(group_size, bool) or group_size not in kernels.GROUPS:
        raise InputError("pack", found=f"group_size={group_size}",
                         expected="one of " + ", ".join(map(str, kernels.GROUPS)))
    return group_size


def kind_of(values: torch.Tensor) -> Kind:
    """Kind of a tensor of packed values.

    Raises
    ------
    InputError
        No kind is stored in this dtype.
    """
    if values.dtype not in _BY_DTYPE:
        raise InputError("read packed values", found=f"{values.dtype}",
                         expected="bfloat16, float16, float32, int8 or uint8")
    return _BY_DTYPE[values.dtype]
