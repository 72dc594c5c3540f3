"""The uniform rule: every target gives the same share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.profile import Profile


def uniform_rates(profile: Profile, sparsity: float) -> NDArray[np.float64]:
    """Rule ``uniform``: the rate of every target is ``sparsity``.

    Returns
    -------
    rates : array of shape (targets,)
    """
    return np.full(len(profile.names), sparsity)
