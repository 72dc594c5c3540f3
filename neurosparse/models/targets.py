"""The weights that may be pruned, one by one, by the names that every file of neurosparse uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from neurosparse.errors import InputError, ModelError
from neurosparse.models.blocks import Blocks, find_blocks
from neurosparse.models.linears import (
    OUTPUTS,
    ROUTERS,
    fused_experts,
    is_conv1d,
    is_linear,
)


@dataclass(frozen=True)
class Target:
    """One weight matrix of a decoder block.

    Parameters
    ----------
    name
        Module path, ``"model.layers.0.self_attn.q_proj"``; an expert of fused experts is
        ``"model.layers.0.mlp.experts.gate_up_proj#3"``.
    block
        Index of its block.
    role
        Last part of the name: ``"q_proj"``; of experts ``"gate_up_proj"`` or ``"down_proj"``.
    shape
        (out, in), whichever way it is stored.
    expert
        Index among fused experts, else None.
    transposed
        Whether it is stored as [in, out].
    """

    name: str
    block: int
    role: str
    shape: tuple[int, int]
    expert: int | None = None
    transposed: bool = False

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.shape[0] * self.shape[1]

    @property
    def module_name(self) -> str:
        """Path of the module that holds the parameter."""
        if self.expert is None:
            return self.name
        return self.name.rpartition("#")[0].rpartition(".")[0]

    @property
    def parameter(self) -> str:
        """Name of the parameter in that module."""
        return "weight" if self.expert is None else self.role


def _of_experts(name: str, module: nn.Module, block: int) -> Iterator[Target]:
    layout = fused_experts(module)
    if layout is None:
        return
    for role in layout.names:
        _, rows, cols = module._parameters[role].shape  # type: ignore[union-attr]
        shape = (cols, rows) if layout.transposed else (rows, cols)
        for expert in range(layout.count):
            yield Target(
                f"{name}.{role}#{expert}", block, role, shape, expert, layout.transposed
            )


def _in_forward_order(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """All modules below, output projections after their siblings.

    Registration order is the forward order in every family but Phi-3, whose attention registers
    ``o_proj`` first.
    """
    children = sorted(module.named_children(), key=lambda child: child[0] in OUTPUTS)
    for child_name, child in children:
        path = f"{name}.{child_name}"
        yield path, child
        yield from _in_forward_order(child, path)


def _of_block(name: str, block: nn.Module, index: int) -> Iterator[Target]:
    for path, module in _in_forward_order(block, name):
        role = path.rpartition(".")[2]
        if is_linear(module) and role not in ROUTERS:
            rows, cols = module._parameters["weight"].shape  # type: ignore[union-attr]
            turned = is_conv1d(module)
            yield Target(
                path, index, role, (cols, rows) if turned else (rows, cols), None, turned
            )
        else:
            yield from _of_experts(path, module, index)


def check_patterns(patterns: Iterable[str], names: Sequence[str]) -> None:
    """Refuse a glob pattern of what to leave alone that fits none of the names.

    Raises
    ------
    InputError
        There is one.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(
                "find the targets", found=f"exclude {pattern!r}, which fits no target",
                expected=f"a glob pattern on whole names such as {names[0]}",
            )


def find_targets(
    model: nn.Module, *, exclude: Iterable[str] = (), blocks: Blocks | None = None
) -> list[Target]:
    """Every weight matrix of the decoder blocks that may be pruned, in forward order by block.

    Routers of mixtures, the head, the embeddings and everything outside the decoder blocks (a
    vision tower, a projector) are never among them. Works on meta tensors.

    Parameters
    ----------
    model
        A causal language model.
    exclude
        Glob patterns on target names: ``"*.down_proj"``, ``"model.layers.0.*"``.
    blocks
        The blocks, where they have been found before.

    Raises
    ------
    ModelError
        The model has no decoder blocks, or nothing is left.
    InputError
        A pattern that fits no target: a word written wrong would prune what was to stay.
    """
    patterns = [exclude] if isinstance(exclude, str) else list(exclude)
    found = blocks if blocks is not None else find_blocks(model)
    everything = [
        target
        for index, (name, block) in enumerate(found)
        for target in _of_block(name, block, index)
    ]
    if not everything:
        raise ModelError(
            "find the targets",
            found=f"no floating-point linear map in the blocks of {type(model).__name__}",
            expected="a dense model",
            mend="A model that is quantised or packed already cannot be pruned again.",
        )
    check_patterns(patterns, [target.name for target in everything])
    kept = [
        target
        for target in everything
        if not any(fnmatchcase(target.name, pattern) for pattern in patterns)
    ]
    if not kept:
        raise ModelError(
            "find the targets",
            found=f"nothing left after excluding {', '.join(patterns)}",
            expected="at least one weight to prune",
            mend="Use fewer or narrower patterns.",
        )
    return kept
