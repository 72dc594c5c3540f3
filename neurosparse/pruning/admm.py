"""Least squares with a count of zeros: mask and values together, by splitting (ADMM)."""

from __future__ import annotations

import torch
from torch import Tensor

from neurosparse.errors import InputError
from neurosparse.pruning.masked_cg import masked_least_squares
from neurosparse.pruning.masks import lowest_overall

_FIRST = 0.1
_EVERY = 3


def sparse_least_squares(gram: Tensor, right: Tensor, start: Tensor, drop: int, *,
                         steps: int = 300, iterations: int = 60) -> Tensor:
    """Minimise ``tr(W G W^T) - 2 tr(W b^T)`` over matrices with ``drop`` zeros.

    ALPS (Meng et al., NeurIPS 2024, arXiv 2406.07831): the quadratic and the count are split; a
    penalty that grows while the support still moves brings them together; then the values are
    solved on the support. One eigendecomposition serves every penalty.

    Parameters
    ----------
    gram : positive definite tensor of shape (in, in)
    right : tensor of shape (rows, in)
        b; the dense output is wanted where ``b = W G``.
    start : tensor of shape (rows, in)
        Where it begins.
    drop
        Zeros in the whole matrix, exactly.
    steps
        Of the splitting, at most.
    iterations
        Of the conjugate gradients at the end.

    Returns
    -------
    weights : tensor of shape (rows, in)

    Raises
    ------
    InputError
        An entry of the Gram matrix is NaN or infinite, one of its diagonal not above zero, or the
        count is not that of some entries.
    """
    # Unit diagonal: one penalty then means the same for every feature.
    scale = torch.diagonal(gram).rsqrt()
    values, vectors = _eigen(gram * scale * scale[:, None])
    wanted = right * scale
    sparse = _largest(start / scale, drop)
    dual = torch.zeros_like(sparse)
    kept = max(start.numel() - drop, 1)
    penalty, before = _FIRST, sparse != 0
    for step in range(steps):
        solved = ((wanted - dual + penalty * sparse) @ vectors / (values + penalty)) @ vectors.T
        sparse = _largest(solved + dual / penalty, drop)
        dual += penalty * (solved - sparse)
        if step % _EVERY == _EVERY - 1:
            now = sparse != 0
            moved = int((now != before).sum())
            before = now
            if not moved:
                break
            penalty *= 1.3 if moved > 0.1 * kept else 1.2 if moved > 0.005 * kept else 1.1
    mask = lowest_overall(sparse.abs(), drop)
    return masked_least_squares(gram, right, mask, sparse * scale, iterations=iterations)


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, none below zero, and eigenvectors."""
    wrong = "a Gram matrix that is not finite, or without a positive diagonal"
    if bool(torch.isfinite(matrix).all()):
        try:
            values, vectors = torch.linalg.eigh(matrix)
            return values.clamp_min(0.0), vectors
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            wrong = "a Gram matrix whose eigenvalues are not found"
    raise InputError("sparse least squares", found=wrong, expected="a positive definite one",
                     mend="Look for inputs that overflow float32; more damping may help.")


def _largest(matrix: Tensor, drop: int) -> Tensor:
    """The matrix without its ``drop`` smallest entries."""
    return matrix * lowest_overall(matrix.abs(), drop)
