"""SparseGPT (Frantar and Alistarh 2023, arXiv 2301.00774): drop weights, let the others make up."""

from __future__ import annotations

import torch

from neurosparse.errors import InputError
from neurosparse.pruning.masks import lowest_by_row
from neurosparse.pruning.statistics import InputStatistics

_TRIES = 5


def inverse_factor(gram: torch.Tensor, damping: float) -> tuple[torch.Tensor | None, float]:
    """Upper Cholesky factor of the inverse of a damped Gram matrix, and the damping it took.

    Damping is relative to the mean of the diagonal and grows tenfold while the matrix is not
    positive definite; the factor is None if it never is.

    Parameters
    ----------
    gram : tensor of shape (in, in)
    damping
        The first one tried.
    """
    diagonal = torch.diagonal(gram)
    # A feature that was never seen has no say: one on its diagonal leaves its weights alone.
    level = float(diagonal.mean()) or 1.0
    for attempt in range(_TRIES):
        share = damping * 10**attempt
        matrix = gram.clone()
        torch.diagonal(matrix).add_(share * level + (diagonal == 0) * level)
        lower, wrong = torch.linalg.cholesky_ex(matrix)
        if not int(wrong) and bool(torch.isfinite(lower).all()):
            upper, wrong = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not int(wrong) and bool(torch.isfinite(upper).all()):
                return upper, share
    return None, damping * 10 ** (_TRIES - 1)


class SparseGPT:
    """Column by column: drop by ``W^2 / diag(H^-1)``, move the error to the columns that follow.

    Blocks of columns choose their masks when they are reached, over all rows of the block, with
    counts that add up exactly (section 3.3 of the paper); the update of what follows a block is
    one product.

    Parameters
    ----------
    block
        Columns at a time.
    damping
        Relative to the mean of the Gram matrix' diagonal.
    """

    name = "sparsegpt"
    needs_inputs = True

    def __init__(self, block: int = 128, damping: float = 0.01) -> None:
        self._block, self._damping = block, damping

    def scores(self, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
        """Wanda's scores, tensor of shape (out, in), for masks made without solving.

        Raises
        ------
        InputError
            No inputs were seen.
        """
        if inputs is None or inputs.count == 0:
            raise InputError("sparsegpt", found="no calibration inputs", expected="some tokens")
        return weight.abs() * inputs.norm.to(device=weight.device, dtype=weight.dtype)

    def solve(self, weight: torch.Tensor, inputs: InputStatistics, drop: int
              ) -> tuple[torch.Tensor, str | None]:
        """Drop ``drop`` weights and update the others.

        Parameters
        ----------
        weight : tensor of shape (out, in)
        inputs
            With their Gram matrix.

        Returns
        -------
        weight : tensor of shape (out, in)
            Of the same dtype.
        note
            None, or what was wrong: damping that had to grow, or a Gram matrix that is not positive
            definite at any (the weights that stay are then left alone, by Wanda's mask).

        Raises
        ------
        InputError
            The statistics have no Gram matrix.
        """
        if inputs.gram is None:
            raise InputError("sparsegpt", found="statistics without a Gram matrix",
                             expected="InputStatistics(width, gram=True)")
        upper, share = inverse_factor(inputs.gram.to(weight.device).float(), self._damping)
        if upper is None:
            keep = lowest_by_row(torch.nan_to_num(self.scores(weight, inputs)), drop)
            return weight.masked_fill(~keep, 0.0), (
                f"Gram matrix not positive definite at damping {share:g}: "
                "pruned by its diagonal, nothing updated")
        note = None if share == self._damping else f"damping {share:g} instead of {self._damping:g}"
        return self._walk(weight.float().clone(), upper, drop).to(weight.dtype), note

    def _walk(self, w: torch.Tensor, upper: torch.Tensor, drop: int) -> torch.Tensor:
        """All blocks of columns; ``w`` is worked on in place."""
        rows, columns = w.shape
        dropped = 0
        for start in range(0, columns, self._block):
            stop = min(start + self._block, columns)
            count = drop * stop // columns - dropped
            dropped += count
            part, factor = w[:, start:stop], upper[start:stop, start:stop]
            scores = (part / torch.diagonal(factor)).square().flatten()
            gone = torch.zeros(rows * (stop - start), dtype=torch.bool, device=w.device)
            gone[scores.argsort(stable=True)[:count]] = True
            gone = gone.view(rows, stop - start)
            errors = torch.empty_like(part)
            for column in range(stop - start):
                kept = part[:, column].masked_fill(gone[:, column], 0.0)
                error = (part[:, column] - kept) / factor[column, column]
                part[:, column:] -= torch.outer(error, factor[column, column:])
                part[:, column] = kept
                errors[:, column] = error
            w[:, stop:] -= errors @ upper[start:stop, stop:]
        return w
