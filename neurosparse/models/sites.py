"""Where a block can be made narrower: its attention heads, its neurons, its experts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

Kind = Literal["heads", "neurons", "experts"]

Kept = Mapping[str, Tensor]
"""What stays at one site: for each of its axes the kept indices in order, int64 of shape (kept,);
of neurons inside fused experts, which each keep their own, (experts, kept)."""


@dataclass(frozen=True)
class Part:
    """Rows or columns of one parameter that belong to the members of an axis.

    Parameters
    ----------
    parameter
        Path from the model: ``"model.layers.0.self_attn.qkv_proj.weight"``.
    dim
        Dimension of the parameter.
    axis
        ``"heads"``, ``"kv_heads"``, ``"neurons"`` or ``"experts"``.
    offset, width
        Member i owns entries ``offset + i * width`` to ``offset + (i + 1) * width``.
    """

    parameter: str
    dim: int
    axis: str
    offset: int
    width: int


@dataclass(frozen=True)
class Site:
    """One attention or one feed-forward map whose width may change.

    Parameters
    ----------
    name
        Module path: ``"model.layers.0.self_attn"``, ``"model.layers.0.mlp.experts"``.
    block
        Index of its block.
    kind
        ``"heads"``, ``"neurons"``, or ``"experts"`` (whole ones, with their router's rows).
    lengths
        Members of every axis: ``{"heads": 9, "kv_heads": 3}``, ``{"neurons": 1536}``.
    parts
        All that goes with them.
    output
        Target of ``find_targets`` whose inputs are the heads or neurons: ``"...o_proj"``; of fused
        experts, without the number of the expert, ``"...experts.down_proj"``.
    head_dim
        Features of a head; 1 of neurons.
    experts
        Number of fused experts, each with neurons of its own, else None.
    router
        Module path of the router, of ``"experts"`` sites.
    """

    name: str
    block: int
    kind: Kind
    lengths: Mapping[str, int]
    parts: tuple[Part, ...]
    output: str
    head_dim: int = 1
    experts: int | None = None
    router: str | None = None

    @property
    def per_group(self) -> int:
        """Query heads that share one key and value head."""
        return self.lengths["heads"] // self.lengths["kv_heads"]

    def each(self, model: nn.Module, axis: str) -> int:
        """Parameters that one member of an axis owns (of neurons in experts: one in each)."""
        return sum(_owned(model, part) for part in self.parts if part.axis == axis)

    def output_names(self) -> list[str]:
        """Names of the targets whose inputs are the members, one for each fused expert."""
        count = self.lengths.get("experts", self.experts)
        return [self.output] if count is None else [f"{self.output}#{e}" for e in range(count)]


def _owned(model: nn.Module, part: Part) -> int:
    shape = model.get_parameter(part.parameter).shape
    return math.prod(shape) // shape[part.dim] * part.width
