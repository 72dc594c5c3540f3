"""Wanda-sp: structured Wanda, as the code of FLAP (arXiv 2312.11983) defines it."""

from __future__ import annotations

from torch import Tensor

from neurosparse.pruning.statistics import InputStatistics


class WandaSP:
    """Mean magnitude of a column times the norm of its input, summed over the columns of a head.

    ``score_c = mean_r |W_rc| * ||X_c||_2``: Wanda's score (arXiv 2306.11695, equation 1) with its
    rows taken together. Biases make up for nothing.
    """

    name = "wanda-sp"

    def columns(self, weight: Tensor, inputs: InputStatistics) -> Tensor:
        """Float64 tensor of shape (in,)."""
        return weight.abs().double().mean(0).cpu() * inputs.norm
