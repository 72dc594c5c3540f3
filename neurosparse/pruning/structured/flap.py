"""FLAP's fluctuation metric (arXiv 2312.11983)."""

from __future__ import annotations

from torch import Tensor

from neurosparse.pruning.statistics import InputStatistics


class Flap:
    """Variance of an input times the squared norm of its column, summed over those of a head.

    ``score_c = 1/(N-1) * sum_n (X_nc - mean X_c)^2 * ||W_:c||_2^2``: what is lost by putting the
    input's mean in its place, which is what ``compensate="bias"`` does. (The paper also compares
    standardised scores between layers; here the budget says how much each layer gives.)
    """

    name = "flap"

    def columns(self, weight: Tensor, inputs: InputStatistics) -> Tensor:
        """Float64 tensor of shape (in,)."""
        unbiased = inputs.variance * (inputs.count / max(inputs.count - 1, 1))
        return unbiased * weight.double().square().sum(0).cpu()
