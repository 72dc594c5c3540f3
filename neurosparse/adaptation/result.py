"""What a run of gradual pruning and learning did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class LosaResult:
    """What a run did.

    Attributes
    ----------
    sparsity
        Of the targets, counted at the end.
    steps
        One dictionary a step: ``asked`` and ``sparsity``, ``rates`` and ``ranks`` by linear,
        ``errors`` of the blocks, ``losses`` of its optimiser steps, ``seconds``.
    masks
        Bool tensors (out, in) by target: what was kept.
    """

    sparsity: float
    steps: list[dict[str, Any]]
    masks: dict[str, Tensor] = field(repr=False, default_factory=dict)

    @property
    def losses(self) -> list[float]:
        """Losses of all optimiser steps, nats a token."""
        return [loss for step in self.steps for loss in step["losses"]]
