"""Wanda (Sun et al. 2023, arXiv 2306.11695): weight times the norm of its input."""

from __future__ import annotations

import torch

from neurosparse.errors import InputError
from neurosparse.pruning.statistics import InputStatistics


class Wanda:
    """Score ``S_ij = |W_ij| * |X_j|_2`` (equation 1), compared within each output row."""

    name = "wanda"
    needs_inputs = True

    def scores(self, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
        """``|W_ij| |X_j|``, tensor of shape (out, in).

        Raises
        ------
        InputError
            No inputs were seen.
        """
        if inputs is None or inputs.count == 0:
            raise InputError("wanda", found="no calibration inputs", expected="some tokens")
        return weight.abs() * inputs.norm.to(device=weight.device, dtype=weight.dtype)
