"""One linear: which weights stay, and what they become."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neurosparse.errors import InputError
from neurosparse.pruning.masks import check_count
from neurosparse.pruning.methods import Method, has_mask, is_solver
from neurosparse.pruning.nested import lowest
from neurosparse.pruning.statistics import InputStatistics


@dataclass(frozen=True)
class Shape:
    """What a mask must look like beside its count.

    Attributes
    ----------
    group
        M of an N:M pattern, or None.
    keep_zeros
        Weights that are zero stay zero, whatever a solver would like.
    """

    group: int | None = None
    keep_zeros: bool = False


def prune_linear(weight: torch.Tensor, seen: InputStatistics | None, drop: int, method: Method,
                 shape: Shape | None = None) -> tuple[torch.Tensor, str | None]:
    """The pruned weight of one linear and a note where something was done otherwise.

    Parameters
    ----------
    weight : tensor of shape (out, in)
    seen
        Statistics of its inputs.
    drop
        Entries to drop, those that are zero already included: exactly, but for ``keep_zeros`` where
        more are zero already than may go (in all, or in a group), which then stay so.
    method, shape
        How to choose.

    Raises
    ------
    InputError
        The shape and the method, or the shape and the count, do not go together; or more is to
        go than there is.
    """
    check_count(drop, weight.numel())
    shape = shape or Shape()
    if is_solver(method) and seen is not None:
        allowed = weight != 0 if shape.keep_zeros else None
        return method.solve(weight, seen, drop, group=shape.group, allowed=allowed)
    if shape.group is None and has_mask(method) and seen is not None:
        if shape.keep_zeros and method.name == "dsnot":
            raise InputError("prune", found="dsnot with keep_zeros", expected="another method",
                             mend="It would swap zeros back in; use wanda or ria.")
        keep = method.mask(weight, seen, drop)
    else:
        keep = lowest(method.scores(weight, seen), drop, group=shape.group,
                      gone=weight == 0 if shape.keep_zeros else None)
    return weight.masked_fill(~keep, 0.0), None
