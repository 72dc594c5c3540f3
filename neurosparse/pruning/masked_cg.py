"""Least squares under a mask, all rows at once, by preconditioned conjugate gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LARGE = 2.0**60  # its square is near the end of float32


def masked_least_squares(gram: Tensor, right: Tensor, mask: Tensor, start: Tensor, *,
                         iterations: int = 60, tolerance: float = 1e-4) -> Tensor:
    """Solve ``G_SS w_S = b_S`` for every row, with S the row's kept columns.

    Rows have different masks, so no factor is shared; one product with G is an iteration for all of
    them. Preconditioned by the diagonal; a row that has converged, or whose curvature is used up,
    stands still.

    Parameters
    ----------
    gram : positive definite tensor of shape (in, in)
    right : tensor of shape (rows, in)
    mask : bool tensor of shape (rows, in)
        True where a weight is kept.
    start : tensor of shape (rows, in)
        Where the iteration begins; entries outside the mask are taken as zero.
    iterations
        At most.
    tolerance
        Of a row's residual, relative to that at the start.

    Returns
    -------
    weights : tensor of shape (rows, in)
        Zero outside the mask.
    """
    largest = float(right.abs().max()) if right.numel() else 0.0
    if largest > _LARGE:  # both sides by a power of two: the same solution to the last bit
        unit = 2.0 ** -math.frexp(largest)[1]
        gram, right = gram * unit, right * unit
    inverse = mask / torch.diagonal(gram)
    x = start * mask
    residual = (right - x @ gram) * mask
    z = residual * inverse
    direction, energy = z, (residual * z).sum(1, keepdim=True)
    # Below the rounding of the right side there is nothing to solve: iterations would only wander
    # along directions that the inputs hardly have.
    rounding = (30 * torch.finfo(right.dtype).eps) ** 2
    goal = torch.maximum(energy * tolerance**2,
                         rounding * (right.square() * inverse).sum(1, keepdim=True))
    for _ in range(iterations):
        moving = energy > goal
        if not bool(moving.any()):
            break
        image = (direction @ gram) * mask
        curvature = (direction * image).sum(1, keepdim=True)
        moving &= curvature > 0
        step = torch.where(moving, energy / curvature.where(moving, torch.ones_like(curvature)), 0)
        x = x + step * direction
        residual = residual - step * image
        z = residual * inverse
        after = (residual * z).sum(1, keepdim=True)
        ratio = after / energy.where(energy > 0, torch.ones_like(energy))
        direction = z + ratio * direction
        energy = torch.where(moving, after, torch.zeros_like(after))
    return x
