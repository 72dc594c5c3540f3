"""Operations counted: matrix products, convolutions and attention, and what zeros save of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from neurosparse.models import Target, watch_inputs


@dataclass
class Operations:
    """What ran inside :func:`counted`.

    Attributes
    ----------
    dense
        Floating-point operations, two for a product that is added up. Attention is counted as the
        full square, without what a causal kernel leaves out.
    rows
        Inputs that each target was given, by its name.
    """

    dense: int = 0
    rows: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Operations) -> Operations:
        """Both one after the other."""
        names = [*self.rows, *(name for name in other.rows if name not in self.rows)]
        return Operations(self.dense + other.dense, {
            name: self.rows.get(name, 0) + other.rows.get(name, 0) for name in names})

    def without(self, dropped: Mapping[str, int]) -> int:
        """Operations that are left when so many weights of each target are zero."""
        return self.dense - 2 * sum(
            rows * dropped.get(name, 0) for name, rows in self.rows.items())


def _attention(query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None,
               **options: Any) -> int:
    batch, heads, queries, width = query
    return int(2 * batch * heads * queries * key[2] * (width + value[3]))


# torch counts the kernels of attention for accelerators alone.
_MORE = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


@contextmanager
def counted(model: nn.Module, targets: Sequence[Target]) -> Iterator[Operations]:
    """Count what runs inside, of this model and of all others.

    Parameters
    ----------
    model
        Dense: of a packed model the products are kernels that nothing counts.
    targets
        Weights whose zeros will be taken off; of this model.

    Yields
    ------
    Operations
        Complete when the context ends.
    """
    found = Operations()

    def see(target: Target, inputs: torch.Tensor) -> None:
        found.rows[target.name] = found.rows.get(target.name, 0) + len(inputs)

    with watch_inputs(model, targets, see), FlopCounterMode(
            display=False, custom_mapping=_MORE) as counter:
        yield found
    found.dense = int(counter.get_total_flops())
