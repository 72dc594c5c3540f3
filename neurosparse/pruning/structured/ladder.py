"""All cuts of one site from one factor: its error and its solved output weights at every width.

Units go in one order, least important first. Let the inputs of the output projection stand in that
order, ``G`` be their mean second moments (damped) and ``G = U U^T`` with ``U`` upper triangular.
Then with ``Z = W U`` and ``C = U^-T`` the least-squares weight after the first ``d`` columns are
gone, ``W_K + W_D G_DK G_KK^-1``, is ``W_K - Z_d C_Kd^T``, and its mean squared error is
``|Z_d|^2``: the leading columns of ``Z`` do not depend on ``d`` (the block inverse of ``G``; the
same algebra as Optimal Brain Surgeon's, arXiv 2302.04089 for structures).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurosparse.errors import ModelError
from neurosparse.models import BlockWalk
from neurosparse.models.sites import Site
from neurosparse.progress import Progress, silent
from neurosparse.pruning.structured.groups import Group
from neurosparse.pruning.structured.metrics import COLUMN_METRICS, check_metric
from neurosparse.pruning.structured.scores import (
    outputs_of,
    score_site,
    structured_scores,
    watch_block,
)

DAMPING = 0.01


@dataclass(frozen=True)
class Ladder:
    """The cuts of one site, by how many units are gone.

    Attributes
    ----------
    group
        Its units.
    order : int64 tensor of shape (in,)
        Inputs of the output projection, those that go first first.
    width
        Inputs of one unit.
    errors : float64 array of shape (units + 1,)
        Mean squared change of the site's output for a token, after least squares.
    carried, factor : float32 tensors of shape (out, in) and (in, in)
        ``Z`` and ``C``.
    """

    group: Group
    order: Tensor
    width: int
    errors: NDArray[np.float64]
    carried: Tensor
    factor: Tensor

    def weight(self, dense: Tensor, dropped: int) -> Tensor:
        """The output projection without some units, solved anew; columns of what is gone are zero.

        Parameters
        ----------
        dense : tensor of shape (out, in)
            As the model has it.
        dropped
            Units, 0 to all.
        """
        gone = dropped * self.width
        stay = self.order[gone:]
        new = dense[:, stay].float() - self.carried[:, :gone] @ self.factor[gone:, :gone].T
        whole = torch.zeros_like(dense)
        whole[:, stay] = new.to(dense.dtype)
        return whole


def make_ladder(group: Group, weight: Tensor, moments: Tensor, scores: Tensor, *,
                damping: float = DAMPING) -> Ladder:
    """The ladder of one site.

    Parameters
    ----------
    group
        Of heads or of neurons of an ordinary feed-forward map.
    weight : tensor of shape (out, in)
        Output projection.
    moments : tensor of shape (in, in)
        Mean of ``x x^T`` of its inputs.
    scores
        As ``keep`` takes them: the order in which units go is the one in which ``keep`` drops them.
    damping
        Share of the mean of the diagonal of ``moments`` that is added to it.
    """
    order, width = _order(group, scores)
    order = order.to(weight.device)
    inner = moments.to(weight.device)[order][:, order].double()
    mean = float(inner.diagonal().mean())
    seen = mean > 0  # else nothing to go by: masks alone, of no known error
    inner = inner if seen else torch.eye(len(order), dtype=torch.float64, device=weight.device)
    inner.diagonal().add_(damping * mean)
    upper = torch.linalg.cholesky(inner.flip(0, 1)).flip(0, 1)
    carried = weight.double()[:, order] @ upper
    identity = torch.eye(len(order), dtype=torch.float64, device=weight.device)
    factor = torch.linalg.solve_triangular(upper, identity, upper=True).T
    sums = carried.square().sum(0).cumsum(0).cpu().numpy() * float(seen)
    errors = np.concatenate([[0.0], sums[width - 1 :: width]])
    return Ladder(group, order, width, errors, carried.float(), factor.float().contiguous())


def _order(group: Group, scores: Tensor) -> tuple[Tensor, int]:
    """Inputs in the order in which ``keep`` drops their units, and inputs of one unit."""
    site = group.site
    if site.kind != "heads":
        return torch.argsort(scores, stable=True), 1
    by_group = scores.view(-1, site.per_group)
    heads = torch.arange(by_group.numel()).view_as(by_group)
    if group.queries:
        inside = torch.argsort(by_group, dim=1, stable=True)
        rows = heads.gather(1, inside).T  # one of every group
    else:
        rows = heads[torch.argsort(by_group.sum(1), stable=True)]
    columns = rows[..., None] * site.head_dim + torch.arange(site.head_dim)
    return columns.flatten(), rows.shape[1] * site.head_dim


def has_ladder(site: Site) -> bool:
    """Whether a site's output is one ordinary projection (fused experts have one each)."""
    return site.kind != "experts" and site.experts is None


def make_ladders(model: nn.Module, tokens: Tensor, groups: Sequence[Group], *,
                 method: str = "flap", batch_size: int = 8, dtype: torch.dtype | None = None,
                 progress: Progress = silent) -> tuple[dict[str, Tensor], dict[str, Ladder]]:
    """Scores and ladders of all sites, on the model as it is.

    One walk of two forward passes. Memory that stays: ``(out + in) * in`` float32 numbers a site.

    Parameters
    ----------
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    groups
        From ``find_groups``, without fused experts.
    method
        As for ``structured_scores``.
    dtype
        Of the products of the walk; the model's own by default.

    Returns
    -------
    scores, ladders
        By the name of the site.

    Raises
    ------
    ModelError
        A site of fused experts.
    InputError
        An unknown method.
    """
    for group in groups:
        if not has_ladder(group.site):
            raise ModelError("solve structures on the dense model", found=f"{group.name}, fused "
                             "experts", expected="attention and ordinary feed-forward maps")
    by_column = check_metric(method) in COLUMN_METRICS
    scores = {} if by_column else structured_scores(model, tokens, groups, method=method,
                                                    progress=progress)
    walk = BlockWalk(model, tokens, batch_size=batch_size, dtype=dtype)
    ladders: dict[str, Ladder] = {}
    for index in range(walk.n_blocks):
        mine = [group for group in groups if group.site.block == index]
        targets = outputs_of(model, [group.site for group in mine])
        seen = watch_block(walk, index, targets, gram=True)
        for group in mine:
            if by_column:
                scores[group.name] = score_site(model, group.site, method, targets, seen)
            inputs = seen.get(group.site.output)
            assert inputs is not None and inputs.gram is not None  # the walk ran the block
            weight = output_weight(model, group.site).detach()
            ladders[group.name] = make_ladder(group, weight,
                                              inputs.gram / max(inputs.count, 1),
                                              scores[group.name])
        walk.run(index, keep=True)
        progress("solve", index + 1, walk.n_blocks)
    return scores, ladders


def output_weight(model: nn.Module, site: Site) -> nn.Parameter:
    """The parameter of an ordinary output projection."""
    return model.get_parameter(f"{site.output}.weight")


@contextmanager
def solved(model: nn.Module, ladders: Mapping[str, Ladder], dropped: Mapping[str, int]
           ) -> Iterator[None]:
    """Inside, the model answers as one whose units are gone and whose output weights are solved.

    As ``masked``, with least squares from the dense statistics. Memory: one more copy of the output
    projections of the sites that give something; the dense ones are put back as they were, bit for
    bit.
    """
    before: list[tuple[nn.Parameter, Tensor]] = []
    try:
        for name, ladder in ladders.items():
            if dropped.get(name):
                weight = output_weight(model, ladder.group.site)
                before.append((weight, weight.data))
                weight.data = ladder.weight(weight.data, dropped[name])
        yield
    finally:
        for weight, data in before:
            weight.data = data
