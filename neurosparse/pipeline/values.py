"""Change the kind of values of a packed model."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.sparse import PackedMatrix, SparseExperts, SparseLinear, pack, unpack
from neurosparse.sparse.kinds import find_group


def convert_values(model: nn.Module, values: str, *, group_size: int | None = None,
                   progress: Progress = silent) -> None:
    """Store the packed matrices of a model as another kind of values, one by one, in place.

    The bits stay as they are: what was kept stays kept, zeros among it too.

    Parameters
    ----------
    model
        Packed model, as ``sparse.load`` gives it.
    values
        ``"bf16"``, ``"fp16"``, ``"fp32"``, ``"int8"`` or ``"int4"``; see ``sparse.pack`` for the
        rounding.
    group_size
        Columns that share a scale, as for ``sparse.pack``.

    Raises
    ------
    InputError
        Unknown kind, or a value too large for it; names the matrix.
    """
    group = find_group(values, group_size)
    found = [(name, module) for name, module in model.named_modules()
             if isinstance(module, (SparseLinear, SparseExperts))]
    for done, (name, module) in enumerate(found):
        progress("convert", done, len(found))
        model.set_submodule(name, _converted(name, module, values, group))
    progress("convert", len(found), len(found))


def _converted(name: str, module: SparseLinear | SparseExperts, values: str, group: int | None
               ) -> nn.Module:
    if isinstance(module, SparseLinear):
        packed = _repacked(name, module.packed(), values, group)
        return SparseLinear(packed, module.bias, transposed=module.transposed)
    parts: dict[str, Any] = {
        part: _repacked(f"{name}.{part}", getattr(module, part).packed(), values, group)
        for part in ("gate_up_proj", "down_proj")
    }
    return SparseExperts(**parts, num_experts=module.num_experts, act_fn=module.act_fn)


def _repacked(name: str, packed: PackedMatrix, values: str, group: int | None) -> PackedMatrix:
    if packed.kind.name == values and packed.has_groups(group):
        return packed
    here = dataclasses.replace(packed, bitmap=packed.bitmap.cpu())
    kept = torch.from_numpy(kernels.unpack_mask(here.bitmap.contiguous().numpy(), packed.shape[1]))
    try:
        return pack(unpack(here), mask=kept, values=values, group_size=group)
    except InputError as error:
        raise InputError(f"pack {name}", found=error.found, expected=error.expected,
                         mend=error.mend) from error
