"""ALPS: mask and weights of a linear together, against its dense output."""

from __future__ import annotations

import torch

from neurosparse.errors import InputError
from neurosparse.pruning.admm import sparse_least_squares
from neurosparse.pruning.fallback import without_lowest
from neurosparse.pruning.statistics import InputStatistics
from neurosparse.pruning.wanda import Wanda


class ALPS(Wanda):
    """Splitting over masks, then conjugate gradients on the mask found (arXiv 2406.07831).

    Several times the work of ``sparsegpt``: one eigendecomposition and some hundred products a
    linear.

    Parameters
    ----------
    damping
        Relative to the mean of the Gram matrix' diagonal.
    steps
        Of the splitting, at most.
    """

    name = "alps"

    def __init__(self, damping: float = 0.01, steps: int = 300) -> None:
        self._damping, self._steps = damping, steps

    def solve(self, weight: torch.Tensor, inputs: InputStatistics, drop: int, *,
              group: int | None = None, allowed: torch.Tensor | None = None
              ) -> tuple[torch.Tensor, str | None]:
        """Drop ``drop`` weights and solve the others.

        The note is None, or says why there is no solution in float32: the weights that stay are
        then left alone, by Wanda's mask.

        Raises
        ------
        InputError
            The statistics have no Gram matrix, or a group pattern or an old mask is asked for.
        """
        if inputs.gram is None:
            raise InputError("alps", found="statistics without a Gram matrix",
                             expected="InputStatistics(width, gram=True)")
        if group is not None or allowed is not None:
            raise InputError("alps", found="a pattern or a mask to keep", expected="neither",
                             mend="Use method sparsegpt, or wanda with a re-fit.")
        gram = inputs.gram.to(weight.device).float().clone()
        level = self._damping * float(torch.diagonal(gram).mean()) or 1.0
        torch.diagonal(gram).add_(level)
        dense = weight.float()
        known = bool(torch.isfinite(gram).all())
        if known:
            solved = sparse_least_squares(gram, dense @ gram, dense, drop, steps=self._steps)
            if bool(torch.isfinite(solved).all()):
                return solved.to(weight.dtype), None
        why = ("the solution overflows float32 (weights up to "
               f"{float(dense.abs().max()):.1g})" if known else "Gram matrix not finite")
        return without_lowest(weight, self.scores(weight, inputs), drop), (
            f"{why}: pruned by its diagonal, nothing updated")
