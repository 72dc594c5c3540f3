"""Magnitude of all weights that go with a head, a neuron or an expert; needs no data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurosparse.models.sites import Part, Site


def magnitude(model: nn.Module, site: Site) -> Tensor:
    """Sum of squares of the weights of every member, float64.

    A key and value head's weights count in equal parts to its query heads.

    Returns
    -------
    scores : float64 tensor of shape (heads,), (neurons,), (experts, neurons) or (experts,)
    """
    total = torch.zeros((), dtype=torch.float64)
    for part in site.parts:
        found = _squares(model, site, part)
        if part.axis == "kv_heads":
            found = found.repeat_interleave(site.per_group) / site.per_group
        total = total + found
    return total


def _squares(model: nn.Module, site: Site, part: Part) -> Tensor:
    """Sum of squares of each member of a part, over all other dimensions (but not over experts)."""
    values = model.get_parameter(part.parameter).detach()
    count = site.lengths[part.axis]
    mine = values.narrow(part.dim, part.offset, count * part.width).double().square()
    mine = mine.movedim(part.dim, -1)
    rows = 1 if site.experts is None else site.experts
    found = mine.reshape(rows, -1, count, part.width).sum((1, 3)).cpu()
    return found[0] if site.experts is None else found
