"""A re-fit that freezes the error: the kept weights cancel it where it arises.

A linear of the sparse model gets damaged inputs. Its kept weights are solved so that, fed with
those, it gives the *dense* output: the error that would travel on is taken off in every block, as
the reaction term takes off the neurons' own echo (theory.md). QEP (arXiv 2504.09629) does this for
quantisation, with the strength alpha.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError
from neurosparse.models import BlockWalk, Target, get_weight, set_weight, watch_inputs
from neurosparse.pruning.admm import sparse_least_squares
from neurosparse.pruning.dense_stream import DenseStream
from neurosparse.pruning.masked_cg import masked_least_squares
from neurosparse.pruning.statistics import InputStatistics

MASKS = ("along", "fixed", "chosen")
_TRIES = 5
Choose = Callable[[Target, Tensor, InputStatistics], Tensor]
"""Prunes a weight of shape (out, in) by the statistics of its inputs."""


@dataclass(frozen=True)
class Refit:
    """How kept weights are solved again, linear by linear in the order in which they run.

    Attributes
    ----------
    strength
        alpha: 1 aims at the output that the dense linear gives to the dense input, 0 at the one
        that it gives to the damaged input. In full, few calibration tokens overfit: on the
        protocol's selection text 0.3 and 0.5 were far better than 1.
    damping
        Pull towards the dense weights, relative to the mean of the Gram matrix' diagonal. For
        masks along the way it grows tenfold while the matrix is not positive definite.
    iterations
        Of conjugate gradients.
    mask
        ``"along"``: the method chooses when a linear is reached, among weights that already give
        the dense outputs to the damaged inputs; ``"fixed"``: what the method chooses without a
        re-fit; ``"chosen"``: as many weights, by splitting (ALPS, arXiv 2406.07831) against
        the target of the re-fit (no pattern, and no zeros to keep).

    Raises
    ------
    InputError
        A value is out of its range.
    """

    strength: float = 0.3
    damping: float = 0.01
    iterations: int = 60
    mask: str = "along"

    def __post_init__(self) -> None:
        kinds: tuple[tuple[object, type], ...] = (
            (self.strength, Real), (self.damping, Real), (self.iterations, Integral))
        good = (all(isinstance(value, kind) for value, kind in kinds)
                and 0 <= self.strength <= 1 and 0 < self.damping < math.inf
                and self.iterations > 0 and self.mask in MASKS)
        if not good:
            raise InputError("refit", found=str(self),
                             expected="strength in [0, 1], mask along, fixed or chosen, damping "
                                      "and a whole number of iterations above zero")

    def check(self, *, pattern: bool, keep_zeros: bool) -> None:
        """Do these options go with a pattern, or with zeros that must stay?

        Raises
        ------
        InputError
            They choose masks of their own, which know of neither.
        """
        if self.mask == "chosen" and (pattern or keep_zeros):
            raise InputError("refit", found="mask='chosen' with "
                             + ("a pattern" if pattern else "keep_zeros"),
                             expected="neither", mend="Take mask='along' or 'fixed'.")


@dataclass
class _Moments:
    """Of damaged inputs X' and dense inputs X: statistics with ``X'^T X'``, and ``X'^T X``."""

    seen: InputStatistics
    cross: Tensor


def refit_block(model: nn.Module, walk: BlockWalk, index: int, dense: dict[str, Tensor],
                stream: DenseStream, options: Refit, choose: Choose) -> list[str]:
    """Solve the kept weights of one block.

    Parameters
    ----------
    dense
        The weights of the block's linears before pruning, by name.
    stream
        Just advanced through the dense block; knows the linears by their inputs. Experts of a
        mixture are left alone, since sparse and dense routing may differ.
    choose
        Prunes one linear, for masks chosen along the way.

    Returns
    -------
    notes
        What was done otherwise, by the linear's name.
    """
    notes = []
    for group in stream.groups:
        system = _System(_moments(model, walk, index, group, dense, stream), options)
        for target in group:
            note = _refit(model, target, dense[target.name], system, choose)
            notes += [] if note is None else [f"{target.name}: {note}"]
    return notes


def _refit(model: nn.Module, target: Target, dense: Tensor, system: _System, choose: Choose
           ) -> str | None:
    """Solve one linear; where there is nothing to solve, the method's own weights stay."""
    weight = get_weight(model, target)
    note = None
    if not system.finite:
        note = "not re-fitted: the inputs' Gram matrix is not finite"
    elif system.level > 0:
        solved, note = system.solve(target, weight.float(), dense.to(weight.device).float(), choose)
        if bool(torch.isfinite(solved).all()):
            set_weight(model, target, solved)
            return note
        note = "not re-fitted: the solution overflows float32"
    if system.options.mask == "along":
        set_weight(model, target, choose(target, weight, system.seen))
    return note


def _moments(model: nn.Module, walk: BlockWalk, index: int, group: Sequence[Target],
             dense: dict[str, Tensor], stream: DenseStream) -> _Moments:
    """Of a group of linears with one input; both runs of a batch are paired token by token."""
    leader = group[0]
    width = leader.shape[1]
    found = _Moments(InputStatistics(width, gram=True), torch.zeros(width, width))
    latest: list[Tensor] = []

    def each(batch: int) -> None:
        x = latest.pop().float()
        clean = stream.inputs(model, walk, index, batch, leader, dense).to(x.device).float()
        found.seen.add(x)
        found.cross = found.cross.to(x.device).addmm_(x.T, clean)

    with watch_inputs(model, [leader], lambda _target, x: latest.append(x)):
        walk.look(index, [leader.module_name], each)
    return found


class _System:
    """The normal equations that a group of linears shares."""

    def __init__(self, moments: _Moments, options: Refit) -> None:
        assert moments.seen.gram is not None
        self.seen, self.options = moments.seen, options
        self._gram = moments.seen.gram
        self._mean = float(torch.diagonal(self._gram).mean())
        # What damage takes from the products of a dense row with its inputs: zero without damage.
        self._missing = options.strength * (moments.cross.T - self._gram)
        self._damp(options.damping)
        self.finite = all(bool(torch.isfinite(one).all()) for one in (self._matrix, self._missing))
        self._factor: Tensor | None = None
        self._note: str | None = None

    def _damp(self, share: float) -> None:
        self.level = share * self._mean
        self._matrix = self._gram.clone()
        torch.diagonal(self._matrix).add_(self.level)

    def solve(self, target: Target, weight: Tensor, dense: Tensor, choose: Choose
              ) -> tuple[Tensor, str | None]:
        """Kept weights of one linear, tensor of shape (out, in), and a note or None."""
        options = self.options
        if options.mask == "along":
            self._factorise()
        extra = dense @ self._missing
        right = dense @ self._matrix + extra
        if options.mask == "chosen":
            drop = weight.numel() - int((weight != 0).sum())
            return sparse_least_squares(self._matrix, right, weight, drop,
                                        iterations=options.iterations), None
        if options.mask == "along":
            weight = choose(target, self._corrected(dense, extra), self.seen)
        return masked_least_squares(self._matrix, right, weight != 0, weight,
                                    iterations=options.iterations), self._note

    def _factorise(self) -> None:
        """Once for all linears of the group, at the least damping that does, as SparseGPT has it.

        The solution under a mask needs no factor: without one only the masks are chosen otherwise.
        """
        if self._factor is not None or self._note is not None:
            return
        first = self.options.damping
        for attempt in range(_TRIES):
            share = first * 10**attempt
            if attempt:
                self._damp(share)
            factor, failed = torch.linalg.cholesky_ex(self._matrix)
            if not int(failed) and bool(torch.isfinite(factor).all()):
                self._factor = factor
                if attempt:
                    self._note = f"re-fit with damping {share:g} instead of {first:g}"
                return
        self._note = (f"Gram matrix not positive definite at damping {share:g}: "
                      "mask chosen from the dense weights")

    def _corrected(self, dense: Tensor, extra: Tensor) -> Tensor:
        """Weights with which damaged inputs give the dense outputs, without any mask."""
        if self._factor is None:
            return dense
        return dense + torch.cholesky_solve(extra.T, self._factor).T.contiguous()
