"""RIA (Zhang et al., ICLR 2024): relative importance of a weight in its row and its column."""

from __future__ import annotations

import torch

from neurosparse.pruning.statistics import InputStatistics, seen_norm

_TINY = 1e-30


class RIA:
    """``(|W_ij| / sum_i |W_ij| + |W_ij| / sum_j |W_ij|) |X_j|^a``, compared within output rows.

    Relative importance keeps a row or an input feature of small weights from dying out as a whole
    (equations 3 and 4; a = 1/2 is the authors').

    Parameters
    ----------
    power
        a.
    """

    name = "ria"
    needs_inputs = True

    def __init__(self, power: float = 0.5) -> None:
        self._power = power

    def scores(self, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
        """Tensor of shape (out, in).

        Raises
        ------
        InputError
            No inputs were seen.
        """
        norm = seen_norm(self.name, weight, inputs).float()
        size = weight.abs().float()
        relative = (size / size.sum(0, keepdim=True).clamp_min(_TINY)
                    + size / size.sum(1, keepdim=True).clamp_min(_TINY))
        return relative * norm**self._power
