"""DSnoT (Zhang et al., ICLR 2024): swap weights of a mask until a row's mean error is gone."""

from __future__ import annotations

import torch

from neurosparse.pruning.masks import lowest_by_row
from neurosparse.pruning.statistics import InputStatistics
from neurosparse.pruning.wanda import Wanda


class DSnoT(Wanda):
    """From Wanda's mask: a weight comes back, another goes, row by row and without training.

    With ``e = -sum_pruned W_j E[x_j]`` the mean error of a row's output: the weight that comes back
    is the one with the largest ``W_j E[x_j] / Var[x_j]`` against the sign of e; the one that goes
    has the lowest Wanda score among those whose going also works against e. A row rests when
    ``|e|`` is small, when no swap lowers it, or after ``cycles`` swaps (arXiv 2310.08915,
    equations 3 to 6).

    Parameters
    ----------
    cycles
        Swaps a row at most.
    threshold
        ``|e|`` at which a row rests.
    """

    name = "dsnot"

    def __init__(self, cycles: int = 50, threshold: float = 0.1) -> None:
        self._cycles, self._threshold = cycles, threshold

    def mask(self, weight: torch.Tensor, inputs: InputStatistics, drop: int) -> torch.Tensor:
        """Keep-mask with ``drop`` entries dropped, bool tensor of shape (out, in)."""
        scores = self.scores(weight, inputs).float()
        keep = lowest_by_row(scores, drop)
        mean = inputs.mean.to(weight.device, torch.float32)
        spread = inputs.variance.to(weight.device, torch.float32).clamp_min(1e-20)
        share = weight.float() * mean
        error = -(share * ~keep).sum(1)
        nothing = torch.full_like(scores, -torch.inf)
        rows = torch.arange(len(weight), device=weight.device)
        for _ in range(self._cycles):
            sign = torch.sign(error)[:, None]
            back = torch.where(keep, nothing, -sign * share / spread)
            into = back.argmax(1)
            helps = keep & (sign * share > 0)
            out = torch.where(helps, -scores, nothing).argmax(1)
            after = error + share[rows, into] - share[rows, out]
            moves = ((error.abs() > self._threshold) & helps.any(1) & (after.abs() < error.abs())
                     & torch.isfinite(back[rows, into]))
            if not bool(moves.any()):
                break
            keep[rows[moves], into[moves]] = True
            keep[rows[moves], out[moves]] = False
            error = torch.where(moves, after, error)
        return keep
