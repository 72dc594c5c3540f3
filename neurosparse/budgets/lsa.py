"""The rule ``lsa``: minimal linear reconstruction error (Yang et al., ICLR 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.allocator import exact_mean
from neurosparse.budgets.bands import band, check_width, unit_interval
from neurosparse.budgets.dlp import relative_importance
from neurosparse.budgets.form import array_of, rule_form
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.units import units

Floats = NDArray[np.float64]

# Half-widths that the authors' published settings use at 10 %, 20 % ... 80 %.
_WIDTHS = (0.06, 0.02, 0.04, 0.02, 0.04, 0.10, 0.15, 0.12)


def default_width(sparsity: float) -> float:
    """The authors' half-width at the sparsity of their table nearest to the one asked."""
    place = min(max(round(10 * sparsity), 1), len(_WIDTHS)) - 1
    return _WIDTHS[place]


def redundancy(profile: Profile, per: str = "block") -> Floats:
    """Mean over the linears of a unit of their least error at 50 %, array of shape (units,)."""
    return units(profile, per).mean(array_of(profile, "lsa", "error"), weighted=False)


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    per = options.get("per", "block")
    return {"least error at 50 %": units(profile, per).spread(redundancy(profile, per))}


@rule_form(evidence=("lsa",), columns=_columns)
def lsa_rates(profile: Profile, sparsity: float, *, width: float | None = None, per: str = "block"
              ) -> Floats:
    """Rule ``lsa``: rates rise linearly with the least linear reconstruction error at 50 %.

    Importance ``I_l = 1 - E_l / sum E``, stretched to [0, 2 beta] as d; by block
    ``s_l = S + mean(d) - d_l``, by linear ``s_l = S + (mean(d) - d_l) mean(N) / N_l`` with N the
    parameters. The authors read a *large* error as redundancy.

    Parameters
    ----------
    profile
        With evidence ``lsa``.
    width
        beta; by default the authors' for the sparsity (0.04, 0.10, 0.15 at 50, 60, 70 %), and by
        linear 0.07.
    per
        ``"block"`` or ``"linear"`` (their projection-wise form).

    Returns
    -------
    rates : array of shape (targets,)
    """
    group = units(profile, per)
    importance = relative_importance(redundancy(profile, per))
    if per == "block":
        half = default_width(sparsity) if width is None else width
        return group.spread(band(importance, group.sizes, sparsity, half))
    gain = 2 * check_width("width", 0.07 if width is None else width) * unit_interval(importance)
    move = (gain.mean() - gain) * group.sizes.mean() / group.sizes
    return group.spread(exact_mean(sparsity + move, group.sizes, sparsity))
