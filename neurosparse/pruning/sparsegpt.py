"""SparseGPT (Frantar and Alistarh 2023, arXiv 2301.00774): drop weights, let the others make up."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import torch
from scipy.linalg import lapack
from threadpoolctl import ThreadpoolController

from neurosparse.errors import InputError
from neurosparse.pruning.columns import walk_columns
from neurosparse.pruning.fallback import without_lowest
from neurosparse.pruning.masks import lowest_overall
from neurosparse.pruning.pattern import per_group
from neurosparse.pruning.statistics import InputStatistics
from neurosparse.pruning.wanda import Wanda

_TRIES = 5
_SMALL = 4096  # columns times threads


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
        turned = gram.flip(0, 1)
        torch.diagonal(turned).add_((share * level + (diagonal == 0) * level).flip(0))
        upper = _root_of_inverse(turned)
        # One number that is not finite makes the sum so, too.
        if upper is not None and math.isfinite(float(upper.sum())):
            return upper, share
    return None, damping * 10 ** (_TRIES - 1)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """SciPy's BLAS, found once: looking for it takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


def _threads_for(width: int) -> AbstractContextManager[object]:
    """One thread of SciPy's BLAS for a small matrix.

    Its threads hold their cores for a while after a call, and torch's wait for those: more than
    they save up to about 2048 columns on two cores.
    """
    if width * torch.get_num_threads() > _SMALL:
        return nullcontext()
    limited: AbstractContextManager[object] = _blas().limit(limits=1)
    return limited


def _root_of_inverse(turned: torch.Tensor) -> torch.Tensor | None:
    """Upper U with ``U^T U`` the inverse of M, or None where there is none.

    Of M with both axes turned round, which is overwritten: ``L L^T`` of it is, turned back,
    ``R R^T = M`` with an upper R, whose inverse is U. So one factor and one triangular inverse do,
    a third of the work of inverting and factoring again. LAPACK works in place on the CPU, on
    columns: its upper triangle is the lower one of our rows.
    """
    if turned.device.type == "cpu":
        with _threads_for(len(turned)):
            factor, wrong = lapack.spotrf(turned.numpy().T, lower=0, clean=1, overwrite_a=1)
            if wrong == 0:
                factor, wrong = lapack.strtri(factor, lower=0, overwrite_c=1)
        return None if wrong else torch.from_numpy(factor.T).flip(0, 1)
    lower, failed = torch.linalg.cholesky_ex(turned)
    if int(failed):
        return None
    identity = torch.eye(len(turned), dtype=turned.dtype, device=turned.device)
    upper: torch.Tensor = torch.linalg.solve_triangular(lower.flip(0, 1), identity, upper=True)
    return upper


class SparseGPT(Wanda):
    """Column by column: drop by ``W^2 / diag(H^-1)``, move the error to the columns that follow.

    Blocks of columns choose their masks when they are reached, over all rows of the block, with
    counts that add up exactly (section 3.3 of the paper); the update of what follows a block is
    one product. Masks made without solving are Wanda's.

    Parameters
    ----------
    block
        Columns at a time.
    damping
        Relative to the mean of the Gram matrix' diagonal.
    """

    name = "sparsegpt"

    def __init__(self, block: int = 128, damping: float = 0.01) -> None:
        self._block, self._damping = block, damping

    def solve(self, weight: torch.Tensor, inputs: InputStatistics, drop: int, *,
              group: int | None = None, allowed: torch.Tensor | None = None
              ) -> tuple[torch.Tensor, str | None]:
        """Drop ``drop`` weights and update the others.

        Parameters
        ----------
        weight : tensor of shape (out, in)
        inputs
            With their Gram matrix.
        group
            M of an N:M pattern, chosen group by group when it is reached.
        allowed : bool tensor of shape (out, in)
            Where a weight may stay: what is not allowed counts among the dropped, and goes even
            where that is more than ``drop``.

        Returns
        -------
        weight : tensor of shape (out, in)
            A new one, of the same dtype.
        note
            None, or what was wrong: damping that had to grow, or a Gram matrix that is not positive
            definite at any (the weights that stay are then left alone, by Wanda's mask).

        Raises
        ------
        InputError
            The statistics have no Gram matrix, or the count makes no pattern.
        """
        if inputs.gram is None:
            raise InputError("sparsegpt", found="statistics without a Gram matrix",
                             expected="InputStatistics(width, gram=True)")
        upper, share = inverse_factor(inputs.gram.to(weight.device).float(), self._damping)
        if upper is None:
            return without_lowest(weight, self.scores(weight, inputs), drop, group=group,
                                  allowed=allowed), (
                f"Gram matrix not positive definite at damping {share:g}: "
                "pruned by its diagonal, nothing updated")
        note = None if share == self._damping else f"damping {share:g} instead of {self._damping:g}"
        masks = _Masks(drop, group, weight.shape, None if allowed is None else ~allowed.T)
        # Always a copy: of a single row the transpose is contiguous as it is.
        columns = weight.float().T.clone(memory_format=torch.contiguous_format)
        return self._walk(columns, upper, masks).T.to(weight.dtype), note

    def _walk(self, w: torch.Tensor, upper: torch.Tensor, masks: _Masks) -> torch.Tensor:
        """All blocks of columns; ``w`` of shape (in, out) is worked on in place."""
        size = masks.size
        if size is None:
            walk_columns(w, upper, masks, block=self._block)
        else:
            walk_columns(w, upper, masks, block=-(-self._block // size) * size, inner=size)
        return w


class _Masks:
    """Which entries go, block by block or group by group, with counts that add up exactly."""

    def __init__(self, drop: int, size: int | None, shape: torch.Size,
                 never: torch.Tensor | None) -> None:
        self.size, self._drop, self._done = size, drop, 0
        self._columns, self._never = shape[1], never
        self._each = per_group(shape, size, drop) if size is not None else 0
        self._gone, self._start = torch.empty(0), 0
        # From each column on, how many entries must go whatever a block would like.
        self._ahead = [0] * (shape[1] + 1)
        if never is not None:
            self._ahead[:-1] = never.sum(1).flip(0).cumsum(0).flip(0).tolist()

    def block(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """All rows of a block of columns choose together, unless groups do."""
        if self.size is None:
            scores = self._scores(part, factor, start)
            self._set(~lowest_overall(scores, self._count(start, start + len(part))), start)
            self._done += int(self._gone.sum())

    def _count(self, start: int, stop: int) -> int:
        """How many of columns start:stop go: their share, but enough is left for later ones."""
        share = self._drop * stop // self._columns - self._done
        left = self._drop - self._done - self._ahead[stop]
        return max(min(share, left), self._ahead[start] - self._ahead[stop])

    def gone(self) -> torch.Tensor | None:
        """The block's, unless groups are still to choose."""
        return self._gone if self.size is None else None

    def group(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """Of M neighbouring columns, row by row of the weight."""
        if self.size is not None:
            order = self._scores(part, factor, start).argsort(dim=0, stable=True)
            gone = torch.zeros_like(part, dtype=torch.bool)
            self._set(gone.scatter_(0, order[: self._each], True), start)

    def column(self, row: torch.Tensor, error: torch.Tensor, at: int) -> None:
        """What goes is the error."""
        torch.mul(row, self._gone[at - self._start], out=error)
        row -= error

    def _scores(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> torch.Tensor:
        scores = (part / torch.diagonal(factor)[:, None]).square()
        if self._never is not None:
            scores.masked_fill_(self._never[start : start + len(part)].to(part.device), -1.0)
        return scores

    def _set(self, gone: torch.Tensor, start: int) -> None:
        if self._never is not None:
            gone = gone | self._never[start : start + len(gone)].to(gone.device)
        self._gone, self._start = gone, start
