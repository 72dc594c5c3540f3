"""A re-fit that freezes the error: the kept weights cancel it where it arises.

A linear of the sparse model gets damaged inputs. Its kept weights are solved so that, fed with
those, it gives the *dense* output: the error that would travel on is taken off in every block, as
the reaction term takes off the neurons' own echo (theory.md). QEP (arXiv 2504.09629) does this for
quantisation, with the strength alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError
from neurosparse.models import BlockWalk, Target, get_weight, set_weight, watch_inputs
from neurosparse.pruning.admm import sparse_least_squares
from neurosparse.pruning.dense_stream import DenseStream
from neurosparse.pruning.masked_cg import masked_least_squares
from neurosparse.pruning.statistics import InputStatistics

MASKS = ("along", "fixed", "chosen")
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
        Pull towards the dense weights, relative to the mean of the Gram matrix' diagonal.
    iterations
        Of conjugate gradients.
    mask
        ``"along"``: the method chooses when a linear is reached, among weights that already give
        the dense outputs to the damaged inputs; ``"fixed"``: what the method chooses without a
        re-fit; ``"chosen"``: as many weights, by splitting (ALPS, arXiv 2406.07831) against
        the target of the re-fit.

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
        good = (0 <= self.strength <= 1 and self.damping > 0 and self.iterations > 0
                and self.mask in MASKS)
        if not good:
            raise InputError("refit", found=str(self),
                             expected="strength in [0, 1], mask along, fixed or chosen, damping "
                                      "and iterations above zero")


@dataclass
class _Moments:
    """Of damaged inputs X' and dense inputs X: statistics with ``X'^T X'``, and ``X'^T X``."""

    seen: InputStatistics
    cross: Tensor


def refit_block(model: nn.Module, walk: BlockWalk, index: int, dense: dict[str, Tensor],
                stream: DenseStream, options: Refit, choose: Choose) -> None:
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
    """
    for group in stream.groups:
        moments = _moments(model, walk, index, group, dense, stream)
        system = _System(moments, options)
        for target in group:
            if system.level > 0:
                weight = get_weight(model, target)
                wanted = dense[target.name].to(weight.device).float()
                solved = system.solve(target, weight.float(), wanted, choose)
                if bool(torch.isfinite(solved).all()):
                    set_weight(model, target, solved)
            elif options.mask == "along":
                set_weight(model, target, choose(target, get_weight(model, target), moments.seen))


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
        self._seen, self._options = moments.seen, options
        self.level = options.damping * float(torch.diagonal(moments.seen.gram).mean())
        # What damage takes from the products of a dense row with its inputs: zero without damage.
        self._missing = options.strength * (moments.cross.T - moments.seen.gram)
        self._matrix = moments.seen.gram.clone()
        torch.diagonal(self._matrix).add_(self.level)
        self._factor: Tensor | None = None

    def solve(self, target: Target, weight: Tensor, dense: Tensor, choose: Choose) -> Tensor:
        """Kept weights of one linear, tensor of shape (out, in)."""
        options = self._options
        extra = dense @ self._missing
        right = dense @ self._matrix + extra
        if options.mask == "chosen":
            drop = weight.numel() - int((weight != 0).sum())
            return sparse_least_squares(self._matrix, right, weight, drop,
                                        iterations=options.iterations)
        if options.mask == "along":
            weight = choose(target, dense + self._correction(extra), self._seen)
        return masked_least_squares(self._matrix, right, weight != 0, weight,
                                    iterations=options.iterations)

    def _correction(self, extra: Tensor) -> Tensor:
        """To the dense weights, so that damaged inputs give the dense outputs without any mask."""
        if self._factor is None:
            self._factor = torch.linalg.cholesky(self._matrix)
        return torch.cholesky_solve(extra.T, self._factor).T.contiguous()
