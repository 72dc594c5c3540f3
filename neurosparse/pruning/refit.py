"""A re-fit that freezes the error: the kept weights cancel it where it arises.

A linear of the sparse model gets damaged inputs. Its kept weights are solved so that, fed with
those, it gives the *dense* output: the error that would travel on is taken off in every block, as
the reaction term takes off the neurons' own echo (theory.md). QEP (arXiv 2504.09629) does this for
quantisation, with the strength alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError
from neurosparse.models import BlockWalk, Target, get_weight, set_weight, watch_inputs
from neurosparse.pruning.admm import sparse_least_squares
from neurosparse.pruning.masked_cg import masked_least_squares

ORDERS = ("linear", "block")
MASKS = ("fixed", "chosen")


@dataclass(frozen=True)
class Refit:
    """How kept weights are solved again after each block's masks are chosen.

    Attributes
    ----------
    strength
        alpha: 1 aims at the output that the dense linear gives to the dense input, 0 at the one
        that it gives to the damaged input.
    order
        ``"linear"``: linears with different inputs one after the other, each seeing those before
        it solved; ``"block"``: all of a block at once, in a quarter of the passes.
    damping
        Pull towards the dense weights, relative to the mean of the Gram matrix' diagonal.
    iterations
        Of conjugate gradients.
    mask
        ``"fixed"``: the method's; ``"chosen"``: of as many weights, chosen along the way by
        splitting (ALPS, arXiv 2406.07831) against the target of the re-fit.

    Raises
    ------
    InputError
        A value is out of its range.
    """

    strength: float = 1.0
    order: str = "linear"
    damping: float = 0.01
    iterations: int = 60
    mask: str = "fixed"

    def __post_init__(self) -> None:
        good = (0 <= self.strength <= 1 and self.order in ORDERS and self.damping > 0
                and self.iterations > 0 and self.mask in MASKS)
        if not good:
            raise InputError("refit", found=str(self),
                             expected="strength in [0, 1], order linear or block, mask fixed "
                                      "or chosen, damping and iterations above zero")


class DenseStream:
    """The dense model's hidden states, carried beside the sparse model's.

    Parameters
    ----------
    walk
        Before its first block.
    hidden
        The states, where they are known.
    """

    def __init__(self, walk: BlockWalk, hidden: list[Tensor] | None = None) -> None:
        self.hidden = hidden or [walk.hidden(batch).clone() for batch in range(walk.n_batches)]

    def advance(self, walk: BlockWalk, index: int) -> None:
        """Through block ``index``, whose weights must be the dense ones."""
        with torch.no_grad():
            self.hidden = [walk.run_on(index, state, batch).cpu()
                           for batch, state in enumerate(self.hidden)]


@dataclass
class _Moments:
    """Of damaged inputs X' and dense inputs X: ``X'^T X'`` and ``X'^T X``."""

    gram: Tensor
    cross: Tensor


def refit_block(model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target],
                dense: dict[str, Tensor], stream: DenseStream, options: Refit) -> None:
    """Solve the kept weights of one pruned block.

    Parameters
    ----------
    targets
        The block's pruned linears; experts of a mixture are left alone, since sparse and dense
        routing may differ.
    dense
        Their weights before pruning, by name.
    stream
        Dense hidden states at the block's input.
    """
    plain = [target for target in targets if target.expert is None]
    for group in _groups(model, walk, index, plain) if options.order == "linear" else [plain]:
        moments = _moments(model, walk, index, plain, group, dense, stream)
        for target in group:
            weight = get_weight(model, target)
            solved = _solve(weight, dense[target.name].to(weight.device),
                            moments[target.name], options)
            set_weight(model, target, solved)


def _groups(model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target]
            ) -> list[list[Target]]:
    """Linears with the same input together, in the order in which they run."""
    groups: list[list[Target]] = []
    last: list[Tensor] = []

    def see(target: Target, x: Tensor) -> None:
        if last and last[0].data_ptr() == x.data_ptr() and last[0].shape == x.shape:
            groups[-1].append(target)
        else:
            groups.append([target])
        last[:] = [x]

    with torch.no_grad(), watch_inputs(model, targets, see):
        walk.run_on(index, walk.hidden(0), 0)
    return groups


def _inputs(model: nn.Module, walk: BlockWalk, index: int, hidden: Tensor, batch: int,
            group: Sequence[Target]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with torch.no_grad(), watch_inputs(model, group, lambda t, x: found.__setitem__(t.name, x)):
        walk.run_on(index, hidden, batch)
    return found


def _moments(model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target],
             group: Sequence[Target], dense: dict[str, Tensor], stream: DenseStream
             ) -> dict[str, _Moments]:
    """Both runs of every batch side by side, so that their tokens are paired."""
    sparse = {target: get_weight(model, target).clone() for target in targets}
    found: dict[str, _Moments] = {}
    shared: dict[str, str] = {}
    for batch in range(walk.n_batches):
        try:
            for target in targets:
                set_weight(model, target, dense[target.name])
            clean = _inputs(model, walk, index, stream.hidden[batch], batch, group)
        finally:
            for target, weight in sparse.items():
                set_weight(model, target, weight)
        damaged = _inputs(model, walk, index, walk.hidden(batch), batch, group)
        first: dict[int, str] = {}
        for target in group:
            x, y = damaged[target.name].float(), clean[target.name].float()
            leader = first.setdefault(damaged[target.name].data_ptr(), target.name)
            if shared.setdefault(target.name, leader) != target.name:
                found[target.name] = found[shared[target.name]]
                continue
            if target.name not in found:
                zero = torch.zeros(x.shape[1], x.shape[1], device=x.device)
                found[target.name] = _Moments(zero, zero.clone())
            found[target.name].gram.addmm_(x.T, x)
            found[target.name].cross.addmm_(x.T, y)
    return found


def _solve(weight: Tensor, dense: Tensor, moments: _Moments, options: Refit) -> Tensor:
    gram, cross = moments.gram, moments.cross
    level = options.damping * float(torch.diagonal(gram).mean())
    if not level > 0:
        return weight
    wanted = dense.float()
    # Rows: target output X ((1 - alpha) W damaged + alpha W dense), and the pull to W.
    right = wanted @ torch.lerp(gram, cross.T, options.strength) + level * wanted
    matrix = gram.clone()
    torch.diagonal(matrix).add_(level)
    kept = weight != 0
    if options.mask == "chosen":
        drop = weight.numel() - int(kept.sum())
        solved = sparse_least_squares(matrix, right, weight.float(), drop,
                                      iterations=options.iterations)
        return solved if bool(torch.isfinite(solved).all()) else weight
    solved = masked_least_squares(matrix, right, kept, weight.float(),
                                  iterations=options.iterations)
    return solved if bool(torch.isfinite(solved).all()) else weight
