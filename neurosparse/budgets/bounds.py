"""Bounds on the rates of some targets, and what is wrong where they cannot be kept."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.numbers import number_of
from neurosparse.budgets.profile import Profile
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
Bound = float | Mapping[str, float]
_SHOWN = 3


def target_bounds(profile: Profile, lower: Bound = 0.0, upper: Bound = 1.0
                  ) -> tuple[Floats, Floats]:
    """Least and greatest rate of every target.

    Parameters
    ----------
    lower, upper
        One rate for all targets, or rates by glob pattern on their names
        (``{"*.down_proj": 0.5, "model.layers.0.*": 0.3}``); a later pattern wins, and targets
        without one have the whole of [0, 1].

    Returns
    -------
    low, high : arrays of shape (targets,)

    Raises
    ------
    BudgetError
        A rate outside [0, 1], a pattern that fits no target, or a target whose bounds cross.
    """
    low, high = _expand(profile, "lower", lower, 0.0), _expand(profile, "upper", upper, 1.0)
    crossed = np.flatnonzero(low > high)
    if len(crossed):
        first = int(crossed[0])
        raise BudgetError("allocate", found=f"bounds {low[first]:g} to {high[first]:g} of "
                          f"{profile.names[first]}", expected="a lower bound below the upper")
    return low, high


def _expand(profile: Profile, name: str, bound: Bound, rest: float) -> Floats:
    by_pattern = bound if isinstance(bound, Mapping) else {"*": bound}
    found = np.full(len(profile.names), rest)
    for pattern, rate in by_pattern.items():
        value = number_of("allocate", f"{name} bound for {pattern!r}:", rate, "a rate in [0, 1]")
        if not 0 <= value <= 1:
            raise BudgetError("allocate", found=f"{name} bound {value!r} for {pattern!r}",
                              expected="a rate in [0, 1]")
        hit = np.array([fnmatchcase(target, pattern) for target in profile.names])
        if not hit.any():
            raise BudgetError("allocate", found=f"{name} bound for {pattern!r}, which fits no "
                              "target", expected=f"a pattern that fits, as {profile.names[0]!r}")
        found[hit] = value
    return found


def check_feasible(profile: Profile, sparsity: float, low: Floats, high: Floats) -> None:
    """Refuse bounds that leave no rates of the mean asked for.

    Raises
    ------
    BudgetError
        Says which bound is in the way, and which targets carry it.
    """
    mass = profile.sizes.astype(float)
    least, greatest = (float(np.average(bound, weights=mass)) for bound in (low, high))
    if least - 1e-12 <= sparsity <= greatest + 1e-12:
        return
    name, bound = ("lower", low) if sparsity < least else ("upper", high)
    # What each target's bound adds to (or takes from) the mean, largest first.
    weight = mass * (low if name == "lower" else 1.0 - high)
    worst = [int(i) for i in np.argsort(-weight, kind="stable") if weight[i] > 0]
    shown = ", ".join(f"{profile.names[i]} ({bound[i]:g})" for i in worst[:_SHOWN])
    more = f" and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""
    raise BudgetError(
        "allocate", found=f"sparsity {sparsity:g} with {name} bounds on {shown}{more}",
        expected=f"a sparsity in [{least:.6g}, {greatest:.6g}], all that the bounds allow",
        mend=f"{'Lower' if name == 'lower' else 'Raise'} the {name} bounds.")
