"""The dense model's hidden states, carried beside the sparse model's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurosparse.models import BlockWalk, Target, get_weight, set_weight, watch_inputs

# Bytes of dense inputs kept of a block; beyond, they are computed again when they are needed.
_KEPT = 2**31


class DenseStream:
    """Hidden states of the dense model, and the inputs of its linears in the latest block.

    Parameters
    ----------
    walk
        Before its first block.

    Attributes
    ----------
    groups
        Linears of the latest block that share an input, in the order in which they run.
    """

    def __init__(self, walk: BlockWalk) -> None:
        self._hidden = [walk.hidden(batch).clone() for batch in range(walk.n_batches)]
        self._before: list[Tensor] = []
        self._inputs: list[dict[str, Tensor]] | None = None
        self.groups: list[list[Target]] = []

    def advance(self, model: nn.Module, walk: BlockWalk, index: int,
                targets: Sequence[Target] = ()) -> None:
        """Through block ``index``, whose weights must be the dense ones, watching its linears."""
        self.groups, self._before, self._inputs = [], self._hidden, []
        after, kept = [], 0
        for batch, state in enumerate(self._hidden):
            found: dict[str, Tensor] = {}
            with torch.no_grad(), watch_inputs(model, targets, _Distinct(found)):
                after.append(walk.run_on(index, state, batch).cpu())
            if not batch:
                self.groups = _groups(targets, found)
            kept += sum(found[group[0].name].nbytes for group in self.groups)
            if self._inputs is not None:
                self._inputs.append({group[0].name: found[group[0].name] for group in self.groups})
            if kept > _KEPT:
                self._inputs = None
        self._hidden = after

    def inputs(self, model: nn.Module, walk: BlockWalk, index: int, batch: int, target: Target,
               dense: dict[str, Tensor]) -> Tensor:
        """Dense inputs of the first linear of a group, tensor of shape (tokens, in)."""
        if self._inputs is not None:
            return self._inputs[batch][target.name]
        members = [one for group in self.groups for one in group]
        sparse = {one: get_weight(model, one).clone() for one in members}
        found: dict[str, Tensor] = {}
        try:
            for one in members:
                set_weight(model, one, dense[one.name])
            with torch.no_grad(), watch_inputs(model, [target], _Distinct(found)):
                walk.run_on(index, self._before[batch], batch)
        finally:
            for one, weight in sparse.items():
                set_weight(model, one, weight)
        return found[target.name]


class _Distinct:
    """Keeps what every linear is given; the same tensor once."""

    def __init__(self, found: dict[str, Tensor]) -> None:
        self._found = found
        self._last: Tensor | None = None

    def __call__(self, target: Target, x: Tensor) -> None:
        last = self._last
        if (last is None or last.data_ptr() != x.data_ptr() or last.shape != x.shape
                or last.dtype != x.dtype):
            self._last = x
        assert self._last is not None
        self._found[target.name] = self._last


def _groups(targets: Sequence[Target], found: dict[str, Tensor]) -> list[list[Target]]:
    by_name = {target.name: target for target in targets}
    groups: list[list[Target]] = []
    last: Tensor | None = None
    for name, x in found.items():
        if x is last:
            groups[-1].append(by_name[name])
        else:
            groups.append([by_name[name]])
        last = x
    return groups
