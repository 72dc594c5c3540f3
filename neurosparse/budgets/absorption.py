"""The rule ``absorption``: OWL or alpha, corrected by who absorbs (Jing et al., 2606.15161)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.allocator import exact_mean
from neurosparse.budgets.alpha import alpha_rates
from neurosparse.budgets.bands import check_width
from neurosparse.budgets.form import all_finite, array_of, rule_form
from neurosparse.budgets.owl import owl_rates
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.uniform import uniform_rates
from neurosparse.budgets.units import units
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
BASES = {"owl": ("owl",), "alpha": ("spectra",), "uniform": ()}
CLIP = float(np.log(3.0))


def _evidence(options: Mapping[str, Any]) -> tuple[str, ...]:
    return ("absorption", *BASES.get(options.get("base", "owl"), ()))


def log_growth(profile: Profile, size: float | None = None) -> Floats:
    """Logarithm of what a perturbation of each block's output has become at the last block.

    ``ln r_l``, ``r_l = E[R_L / R_l]``, with R the relative distance of the perturbed from the plain
    hidden state. Negative: the blocks that follow absorb it.

    Parameters
    ----------
    size
        Relative size of the perturbation, of those measured; by default the first.

    Returns
    -------
    growth : array of shape (blocks,)

    Raises
    ------
    BudgetError
        This size was not measured, or the growth of a block is not finite.
    """
    sizes = array_of(profile, "absorption", "sizes")
    at = np.array([0]) if size is None else np.flatnonzero(np.isclose(sizes, size))
    if not len(at):
        raise BudgetError("allocate with rule 'absorption'", found=f"size={size!r}",
                          expected=f"one of {sizes.tolist()}, which were measured")
    growth = array_of(profile, "absorption", "log_growth")[at[0]]
    blocks = np.unique(profile.block)
    return all_finite(np.asarray(growth[blocks], float), "absorption",
                      [f"block {block}" for block in blocks])


def correction(growth: Floats, sizes: Floats, strength: float) -> Floats:
    """``-(u - mean u)``, ``u = clip(ln r, -ln 3, ln 3)``, with its largest entry at ``strength``.

    Parameters
    ----------
    growth, sizes : arrays of shape (blocks,)
    """
    clipped = np.clip(growth, -CLIP, CLIP)
    move = np.average(clipped, weights=sizes) - clipped
    most = float(np.max(np.abs(move)))
    return move * (strength / most) if most > 0 else move


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    return {"ln growth to the end": units(profile).spread(
        log_growth(profile, options.get("size")))}


@rule_form(evidence=_evidence, columns=_columns)
def absorption_rates(profile: Profile, sparsity: float, *, base: str = "owl",
                     strength: float = 0.04, size: float | None = None) -> Floats:
    """Rule ``absorption``: a bounded correction of another rule's rates, block by block.

    Blocks whose error the rest amplifies give less, those whose error it absorbs give more. The
    sign, the clip at 3 and the restored budget are the paper's; how large the correction may be
    is ours, because no text of the paper with that number could be read (docs/rules.md).

    Parameters
    ----------
    profile
        With evidence ``absorption`` and that of the base rule.
    base
        ``"owl"``, ``"alpha"`` or ``"uniform"``, with their published settings.
    strength
        The largest change of a rate.
    size
        Relative size of the perturbation, of those measured.

    Returns
    -------
    rates : array of shape (targets,)

    Raises
    ------
    BudgetError
        Unknown base, or a size that was not measured.
    """
    if base not in BASES:
        raise BudgetError("allocate with rule 'absorption'", found=f"base={base!r}",
                          expected="one of " + ", ".join(sorted(BASES)))
    most = check_width("strength", strength)
    group = units(profile)
    move = group.spread(correction(log_growth(profile, size), group.sizes, most))
    return exact_mean(_base(base, profile, sparsity) + move, profile.sizes, sparsity)


def _base(base: str, profile: Profile, sparsity: float) -> Floats:
    if base == "owl":
        return owl_rates(profile, sparsity)
    return alpha_rates(profile, sparsity) if base == "alpha" else uniform_rates(profile, sparsity)
