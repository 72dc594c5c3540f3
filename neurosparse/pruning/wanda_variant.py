"""The variant of Wanda: every row gives up the same share of its score instead of its weights."""

from __future__ import annotations

import torch

from neurosparse.pruning.masks import check_count, row_order
from neurosparse.pruning.statistics import InputStatistics
from neurosparse.pruning.wanda import Wanda

_BISECTIONS = 50


class WandaVariant(Wanda):
    """Wanda's scores; of every row the lowest go until they make up a share alpha of the row's sum.

    The share is the same for all rows and found so that the count is exact (the ``use_variant`` of
    arXiv 2306.11695, appendix): rows whose scores are concentrated give more.
    """

    name = "wanda-variant"

    def mask(self, weight: torch.Tensor, inputs: InputStatistics, drop: int) -> torch.Tensor:
        """Keep-mask that drops ``drop`` entries, bool tensor of shape (out, in)."""
        return lowest_by_share(self.scores(weight, inputs), drop)


def lowest_by_share(scores: torch.Tensor, drop: int) -> torch.Tensor:
    """Keep-mask in which every row gives up the same share of its scores' sum, exactly counted.

    Parameters
    ----------
    scores : tensor of shape (rows, columns)
        Not negative; what is not a number goes last of its row.
    drop
        Entries to drop in all.

    Raises
    ------
    InputError
        ``drop`` is not in [0, rows * columns].
    """
    check_count(drop, scores.numel())
    order = row_order(scores)
    part = scores.double().gather(1, order).cumsum(1)
    part /= part[:, -1:].clamp_min(torch.finfo(torch.float64).tiny)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if int((part <= middle).sum()) <= drop else (low, middle)
    counts = (part <= low).sum(1)
    # Rows of equal share are cut apart here: those nearest to the share give the rest.
    rows = len(scores)
    while (missing := drop - int(counts.sum())) > 0:
        open_rows = counts < scores.shape[1]
        following = part.gather(1, counts.clamp_max(scores.shape[1] - 1)[:, None])[:, 0]
        # A row whose sum is no number has no shares: it still comes before one with nothing left.
        following = torch.nan_to_num(following, nan=1.0).masked_fill(~open_rows, float("inf"))
        chosen = following.argsort(stable=True)[: min(missing, int(open_rows.sum()))]
        counts[chosen] += 1
    while (extra := int(counts.sum()) - drop) > 0:
        chosen = counts.argsort(descending=True, stable=True)[: min(extra, rows)]
        counts[chosen[counts[chosen] > 0]] -= 1
    place = torch.arange(scores.shape[1], device=scores.device)
    gone = place < counts[:, None]
    return torch.ones_like(gone).scatter_(1, order, ~gone)
