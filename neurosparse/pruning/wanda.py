"""Wanda (Sun et al. 2023, arXiv 2306.11695): weight times the norm of its input."""

from __future__ import annotations

import torch

from neurosparse.pruning.statistics import InputStatistics, seen_norm


class Wanda:
    """Score ``S_ij = |W_ij| * |X_j|_2`` (equation 1), compared within each output row."""

    name = "wanda"
    needs_inputs = True

    def scores(self, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
        """``|W_ij| |X_j|``, tensor of shape (out, in); in float32 for a float16 weight.

        Raises
        ------
        InputError
            No inputs were seen.
        """
        return weight.abs() * seen_norm(self.name, weight, inputs)
