"""The kinds of stored values, and the dtypes that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neurosparse.errors import InputError

VALUES = ("bf16", "fp16", "fp32", "int8")


@dataclass(frozen=True)
class Kind:
    """One kind of stored values.

    name
        ``"bf16"``, ``"fp16"``, ``"fp32"`` or ``"int8"``.
    dtype
        Of the packed values.
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
        """Bytes of one value."""
        return self.dtype.itemsize


_KINDS = {
    "bf16": Kind("bf16", torch.bfloat16, torch.uint16, torch.bfloat16),
    "fp16": Kind("fp16", torch.float16, torch.uint16, torch.float16),
    "fp32": Kind("fp32", torch.float32, torch.float32, torch.float32),
    "int8": Kind("int8", torch.int8, torch.int8, torch.bfloat16),
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


def kind_of(values: torch.Tensor) -> Kind:
    """Kind of a tensor of packed values.

    Raises
    ------
    InputError
        No kind is stored in this dtype.
    """
    if values.dtype not in _BY_DTYPE:
        raise InputError("read packed values", found=f"{values.dtype}",
                         expected="bfloat16, float16, float32 or int8")
    return _BY_DTYPE[values.dtype]
