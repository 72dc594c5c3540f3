"""Magnitude pruning: the smallest weights of every output row go."""

from __future__ import annotations

import torch

from neurosparse.pruning.statistics import InputStatistics


class Magnitude:
    """Score ``|W_ij|``; needs no data."""

    name = "magnitude"
    needs_inputs = False

    def scores(self, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
        """``|W|``, tensor of shape (out, in)."""
        return weight.abs()
