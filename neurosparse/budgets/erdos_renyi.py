"""Rules ``er``, ``erk``: density by shape alone (SET, arXiv 1707.04780; RigL, 1911.11134)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.allocator import exact_mean
from neurosparse.budgets.form import all_finite, array_of, rule_form
from neurosparse.budgets.profile import Profile

Floats = NDArray[np.float64]


def densities(scale: Floats, sizes: Floats, density: float) -> Floats:
    """``min(1, eta scale_l)`` with the eta that keeps ``density`` of all parameters.

    Layers that would be denser than full stay full, and the others share the rest.

    Parameters
    ----------
    scale, sizes : arrays of shape (targets,)
    density
        Share of all parameters to keep.
    """
    full = np.zeros(len(scale), bool)
    while not full.all():
        left = density * sizes.sum() - sizes[full].sum()
        eta = max(left, 0.0) / float((scale * sizes)[~full].sum())
        over = ~full & (eta * scale > 1.0)
        if not over.any():
            return np.where(full, 1.0, eta * scale)
        full |= over
    return np.ones(len(scale))


def _shapes(profile: Profile) -> tuple[Floats, Floats]:
    """Rows and columns of every target; one without any has no density."""
    out, inner = (all_finite(array_of(profile, "shapes", name), "shapes", profile.names,
                             positive=True) for name in ("out", "in"))
    return out, inner


def _er_scale(profile: Profile) -> Floats:
    out, inner = _shapes(profile)
    return (out + inner) / (out * inner)


def _erk_scale(profile: Profile) -> Floats:
    out, inner = _shapes(profile)
    kernel = profile.evidence["shapes"].get("kernel")
    if kernel is None:
        return _er_scale(profile)
    extent, area = kernel.sum(1), kernel.prod(1)
    return np.asarray((out + inner + extent) / (out * inner * area), float)


def _rates(scale: Floats, profile: Profile, sparsity: float) -> Floats:
    sizes = profile.sizes.astype(float)
    return exact_mean(1.0 - densities(scale, sizes, 1.0 - sparsity), sizes, sparsity)


def _er_columns(profile: Profile, sparsity: float, options: Mapping[str, Any]
                ) -> dict[str, Floats]:
    return {"(out + in) / (out in)": _er_scale(profile)}


def _erk_columns(profile: Profile, sparsity: float, options: Mapping[str, Any]
                 ) -> dict[str, Floats]:
    return {"density scale": _erk_scale(profile)}


@rule_form(evidence=("shapes",), columns=_er_columns)
def er_rates(profile: Profile, sparsity: float) -> Floats:
    """Rule ``er``: the density of an Erdos-Renyi graph, ``eta (out + in) / (out in)``.

    Small matrices stay denser than large ones (Mocanu et al. 2018, equation 3). Knows nothing of
    depth, weights or text.

    Returns
    -------
    rates : array of shape (targets,)
    """
    return _rates(_er_scale(profile), profile, sparsity)


@rule_form(evidence=("shapes",), columns=_erk_columns)
def erk_rates(profile: Profile, sparsity: float) -> Floats:
    """Rule ``erk``: ER with the extents of a convolution's kernel in it (Evci et al. 2020).

    ``eta (out + in + w + h) / (out in w h)``. A linear map has no kernel: for a profile of linears
    this is ``er`` (the evidence then has no array ``kernel``, of shape (targets, 2)).

    Returns
    -------
    rates : array of shape (targets,)
    """
    return _rates(_erk_scale(profile), profile, sparsity)
