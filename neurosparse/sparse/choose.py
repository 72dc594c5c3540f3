"""Which weights of a block are packed, and as what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from neurosparse.errors import InputError, ModelError
from neurosparse.models import Target, get_weight
from neurosparse.sparse.experts import PARTS, is_fused_experts
from neurosparse.sparse.kinds import find_kind
from neurosparse.sparse.matrix import PackedMatrix, pack, packed_bytes

Masks = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Matrix:
    """What is packed as one: a linear, or the same part of all experts below one another.

    name
        Of the packed matrix in the file.
    parameter
        Of the dense parameter in the model's state dict.
    targets
        The linear, or the experts in order.
    """

    name: str
    parameter: str
    targets: tuple[Target, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of all targets together."""
        return sum(target.shape[0] for target in self.targets), self.targets[0].shape[1]

    def pack(self, model: nn.Module, masks: Masks, values: str, group_size: int | None = None
             ) -> PackedMatrix:
        """Pack the weights, with masks where there are any."""
        weights = [get_weight(model, target).detach() for target in self.targets]
        keep = None
        if any(target.name in masks for target in self.targets):
            keep = torch.cat([kept(model, target, masks).cpu() != 0 for target in self.targets])
        return pack(weights[0] if len(weights) == 1 else torch.cat(weights), mask=keep,
                    values=values, group_size=group_size)


def choose(model: nn.Module, targets: Sequence[Target], values: str, masks: Masks,
           group_size: int | None = None) -> dict[str, Matrix]:
    """The matrices of one block that get smaller by packing, by the name of their parameter.

    Gate, up and down of fused experts are packed together or not at all.
    """
    return {
        matrix.parameter: matrix
        for group in _groups(model, targets)
        if _pays(model, group, values, masks, group_size)
        for matrix in group
    }


def kept(model: nn.Module, target: Target, masks: Masks) -> torch.Tensor:
    """What decides which entries stay, tensor of shape (out, in): the mask, or the weight.

    Raises
    ------
    InputError
        The mask has another shape than the weight.
    ModelError
        The weight is not in memory.
    """
    weight = get_weight(model, target)
    if weight.is_meta:
        raise ModelError("save", found=f"{target.name} on the meta device",
                         expected="a weight in memory", mend="Give open_block to save.")
    mask = masks.get(target.name)
    if mask is None:
        return weight
    if mask.shape != weight.shape:
        raise InputError("save", found=f"a mask {tuple(mask.shape)} for {target.name}",
                         expected=f"{tuple(weight.shape)}")
    return mask


def _groups(model: nn.Module, targets: Sequence[Target]) -> Iterator[tuple[Matrix, ...]]:
    """Matrices that are packed together or not at all."""
    experts: dict[str, dict[str, list[Target]]] = {}
    for target in targets:
        if target.expert is None:
            yield (Matrix(target.name, f"{target.name}.weight", (target,)),)
        else:
            path, _, part = target.name.partition("#")[0].rpartition(".")
            experts.setdefault(path, {}).setdefault(part, []).append(target)
    for path, parts in experts.items():
        module = model.get_submodule(path)
        if not is_fused_experts(module) or set(parts) != set(PARTS):
            continue
        count = module.get_parameter(PARTS[0]).shape[0]
        group = tuple(
            Matrix(f"{path}.{part}", f"{path}.{part}",
                   tuple(sorted(parts[part], key=lambda target: target.expert or 0)))
            for part in PARTS
        )
        if all(len(matrix.targets) == count for matrix in group):
            yield group


def _pays(model: nn.Module, group: tuple[Matrix, ...], values: str, masks: Masks,
          group_size: int | None) -> bool:
    dense = packed = 0
    for matrix in group:
        rows, cols = matrix.shape
        nnz = sum(int(torch.count_nonzero(kept(model, target, masks)))
                  for target in matrix.targets)
        dense += rows * cols * find_kind(values).dense.itemsize
        packed += packed_bytes(rows, cols, nnz, values, group_size)
    return packed < dense
