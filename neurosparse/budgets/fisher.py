"""The rule ``fisher-trace``: linears of large Fisher trace give less (MSP, arXiv 2503.11164)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.bands import band
from neurosparse.budgets.form import array_of, rule_form
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.units import units

Floats = NDArray[np.float64]


def log_sensitivity(profile: Profile, per: str = "block") -> Floats:
    """Natural logarithm of the Fisher trace a parameter, array of shape (units,).

    A unit without a gradient (an expert that no token reached) is nan.
    """
    group = units(profile, per)
    trace = array_of(profile, "fisher", "trace")
    mean = group.mean(trace / profile.sizes)
    return np.log(mean, out=np.full(len(mean), np.nan), where=mean > 0)


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    per = options.get("per", "block")
    return {"ln Fisher trace a weight": units(profile, per).spread(log_sensitivity(profile, per))}


@rule_form(evidence=("fisher",), columns=_columns)
def fisher_trace_rates(profile: Profile, sparsity: float, *, width: float = 0.08,
                       per: str = "block") -> Floats:
    """Rule ``fisher-trace``: rates fall linearly with the log Fisher trace a weight, in a band.

    The sensitivity is MSP's: the trace of the empirical Fisher matrix, the sum over a layer's
    weights of the squared gradient of the loss. MSP lets it start an evolutionary search that
    prunes and evaluates hundreds of models; this rule makes no trial, and its map from sensitivity
    to rate (a band, as OWL's) is ours: docs/rules.md says why.

    Parameters
    ----------
    profile
        With evidence ``fisher``.
    width
        Half the width of the band.
    per
        ``"block"`` or ``"linear"``.

    Returns
    -------
    rates : array of shape (targets,)
    """
    group = units(profile, per)
    return group.spread(band(log_sensitivity(profile, per), group.sizes, sparsity, width))
