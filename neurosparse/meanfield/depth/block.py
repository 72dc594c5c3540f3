"""One block of a deep network at large width: what it does to variance, correlation and error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from neurosparse.dynamics.gains import Gain
from neurosparse.errors import InputError
from neurosparse.meanfield.checks import inside
from neurosparse.meanfield.depth.moments import Moments, moments

Norm = Literal["none", "pre", "post"]


@dataclass(frozen=True)
class Block:
    """A block h' = s h + a f(n(h)), f(u) = W φ(u) + b, at large width.

    W and b are independent from block to block, W_ij of variance σ_w²/width, b_i of σ_b². The
    plain layer of Poole et al. (arXiv:1606.05340) and Schoenholz et al. (arXiv:1611.01232) has
    s = 0, a = 1; a residual block has s = 1. With ``norm="pre"`` the branch sees n(h), h rescaled
    to the variance ``norm_scale``²; with ``norm="post"`` the sum s h + a f(h) is rescaled. RMSNorm
    and LayerNorm agree here: the branch has mean zero over the width, so the mean over units is
    of order 1/√width (LayerNorm takes an inherited mean of the input away, RMSNorm does not; the
    theory is for inputs of mean zero).

    Parameters
    ----------
    weight_variance
        σ_w² >= 0.
    bias_variance
        σ_b² >= 0.
    phi
        The gain φ.
    skip
        s.
    branch
        a.
    norm
        ``"none"``, ``"pre"`` or ``"post"``.
    norm_scale
        Root mean square after the normalisation (the norm's own gain), > 0.

    Raises
    ------
    InputError
        A value out of its range, or an unknown ``norm``.
    """

    weight_variance: float
    bias_variance: float = 0.0
    phi: str | Gain | tuple[Any, ...] = "tanh"
    skip: float = 0.0
    branch: float = 1.0
    norm: Norm = "none"
    norm_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, value, low in (("weight_variance", self.weight_variance, 0.0),
                                 ("bias_variance", self.bias_variance, 0.0),
                                 ("skip", self.skip, -math.inf),
                                 ("branch", self.branch, -math.inf)):
            inside("Block", name, value, low)
        inside("Block", "norm_scale", self.norm_scale, 0, open_low=True)
        if self.norm not in ("none", "pre", "post"):
            raise InputError("Block", found=f"norm {self.norm!r}",
                             expected="'none', 'pre' or 'post'")
        _ = self.moments

    @cached_property
    def moments(self) -> Moments:
        """Gaussian averages of the gain."""
        return moments(self.phi)

    def branch_variance(self, variance: float) -> float:
        """Variance q_u of what the gain sees, given the variance q of h."""
        return self.norm_scale**2 if self.norm == "pre" else variance

    def summed(self, variance: float) -> float:
        """Variance of s h + a f, before a normalisation that follows."""
        added = self.weight_variance * self.moments.second(self.branch_variance(variance))
        kept = self.skip**2 * variance if self.skip else 0.0
        return kept + self.branch**2 * (added + self.bias_variance)

    def variance_map(self, variance: float) -> float:
        """q -> q', the mean square of a unit after the block.

        s² q + a² (σ_w² ⟨φ(√q_u z)²⟩ + σ_b²), or ``norm_scale``² after a post-norm.
        """
        return self.norm_scale**2 if self.norm == "post" else self.summed(variance)

    def variance_slope(self, variance: float) -> float:
        """dq'/dq; the variance relaxes to its fixed point by this factor a block."""
        if self.norm == "post":
            return 0.0
        through = (self.branch**2 * self.weight_variance * self.moments.growth(variance)
                   if self.norm == "none" else 0.0)
        return self.skip**2 + through

    def correlation_map(self, correlation: float, variance: float) -> float:
        """c -> c', the correlation of two inputs of equal variance q after the block."""
        inner = self.branch_variance(variance)
        added = self.weight_variance * self.moments.product(inner, correlation)
        kept = self.skip**2 * variance * correlation if self.skip else 0.0
        covariance = kept + self.branch**2 * (added + self.bias_variance)
        return covariance / self.summed(variance)

    def correlation_slope(self, correlation: float, variance: float) -> float:
        """dc'/dc; at the fixed point c* its logarithm is minus the inverse depth scale."""
        inner = self.branch_variance(variance)
        through = self.weight_variance * inner * self.moments.slope_product(inner, correlation)
        kept = self.skip**2 * variance if self.skip else 0.0
        return (kept + self.branch**2 * through) / self.summed(variance)

    def chi(self, variance: float) -> float:
        """χ = σ_w² ⟨φ'(√q_u z)²⟩, the mean-square gain of the branch's layer for an error of u."""
        return self.weight_variance * self.moments.slope(self.branch_variance(variance))

    def gain(self, variance: float) -> float:
        """Mean-square gain |δh'|²/|δh|² for a small error δh across h.

        s² + a² χ without norm; the branch of a pre-norm block divides it by q/``norm_scale``²
        first, a post-norm all of it by the variance of the sum. An error along h itself passes
        a norm only through the skip (pre) or not at all (post).
        """
        if self.norm == "pre":
            through = self.branch**2 * self.chi(variance) * self.norm_scale**2
            return self.skip**2 + (through / variance if through else 0.0)
        total = self.skip**2 + self.branch**2 * self.chi(variance)
        if self.norm == "post":
            total *= self.norm_scale**2 / self.summed(variance)
        return total

    def exponent(self, variance: float) -> float:
        """½ ln of :meth:`gain`: the depth exponent of one block, in nats of amplitude."""
        value = self.gain(variance)
        return 0.5 * math.log(value) if value > 0 else -math.inf
