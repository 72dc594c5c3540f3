"""The arithmetic progression of ATP (arXiv 2502.14770, equation 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.budgets.allocator import exact_mean
from neurosparse.budgets.budget import Budget, BudgetTarget, Rule, Total
from neurosparse.budgets.form import rule_form
from neurosparse.budgets.numbers import number_of
from neurosparse.budgets.predicted import predicted_step
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.units import units
from neurosparse.errors import BudgetError


def step_bounds(n_layers: int, sparsity: float, *, sizes: Sequence[int] | None = None
                ) -> tuple[float, float]:
    """Least and greatest legal step.

    With equal sizes the greatest is ``min(2 S, 2 (1 - S)) / (L - 1)`` (equation 10) and the least
    its negative. The paper takes positive steps only; zero is the uniform rule.
    """
    position, mass = _positions(n_layers, sizes)
    if n_layers == 1 or not mass.size:
        return 0.0, 0.0
    before, after = -float(position[0]), float(position[-1])
    return (-min((1 - sparsity) / before, sparsity / after),
            min(sparsity / before, (1 - sparsity) / after))


def _positions(
    n_layers: int, sizes: Sequence[int] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mass = np.ones(n_layers) if sizes is None else np.asarray(sizes, float)
    if n_layers < 1 or mass.shape != (n_layers,) or not np.all(mass > 0):
        raise BudgetError("arithmetic", found=f"{n_layers} layers, sizes {sizes!r}",
                          expected="at least one layer and one positive size for each")
    index = np.arange(n_layers, dtype=float)
    return index - np.average(index, weights=mass), mass


def progression(n_layers: int, sparsity: float, step: float, *, sizes: Sequence[int] | None = None
                ) -> NDArray[np.float64]:
    """Rates ``s_i = S - step (L - 1) / 2 + step (i - 1)``, i = 1..L (ATP equation 10).

    With ``sizes`` the weighted mean is ``sparsity``; without, the plain mean. Kept to 1e-12.

    Raises
    ------
    BudgetError
        The step is no number, or outside the legal interval, which the message names.
    """
    number_of("arithmetic", "step", step)
    if not 0 <= sparsity < 1:
        raise BudgetError("arithmetic", found=f"sparsity {sparsity!r}", expected="a rate in [0, 1)")
    position, mass = _positions(n_layers, sizes)
    least, greatest = step_bounds(n_layers, sparsity, sizes=sizes)
    if not least * (1 + 1e-12) <= step <= greatest * (1 + 1e-12):
        raise BudgetError(
            "arithmetic", found=f"step {step!r}",
            expected=f"a step in [{least:.6g}, {greatest:.6g}] for {n_layers} layers at {sparsity}",
        )
    return exact_mean(np.clip(sparsity + step * position, 0.0, 1.0), mass, sparsity)


def progression_rates(block: ArrayLike, sizes: ArrayLike, sparsity: float, step: float
                      ) -> NDArray[np.float64]:
    """The progression by target: every linear of a block takes its block's rate.

    Parameters
    ----------
    block, sizes : arrays of shape (targets,)

    Returns
    -------
    rates : array of shape (targets,)

    Raises
    ------
    BudgetError
        The step is outside the legal interval.
    """
    blocks, where = np.unique(np.asarray(block), return_inverse=True)
    mass = np.bincount(where, weights=np.asarray(sizes, float)).astype(np.int64).tolist()
    return np.asarray(progression(len(blocks), sparsity, step, sizes=mass)[where], float)


def arithmetic(n_layers: int, sparsity: float, step: float, sizes: Sequence[int] | None = None
               ) -> Budget:
    """Budget of whole blocks from ATP's progression, without a profile.

    Parameters
    ----------
    n_layers
        Blocks of the model, L.
    sparsity
        Mean rate S in [0, 1).
    step
        Common difference of neighbouring blocks (the paper's beta).
    sizes : sequence of length n_layers, optional
        Parameters of each block; the mean is then weighted by them.

    Returns
    -------
    Budget
        Targets ``block.0`` .. ``block.L-1``, understood by ``pruning.prune`` for any model.

    Raises
    ------
    BudgetError
        The step is outside the legal interval, which the message names.
    """
    rates = progression(n_layers, sparsity, step, sizes=sizes)
    mass = [1] * n_layers if sizes is None else [int(size) for size in sizes]
    return Budget(
        kind="sparsity", model=None,
        rule=Rule(name="arithmetic", options={"step": float(step)}),
        total=Total(asked=sparsity, kept=float(np.average(rates, weights=mass)),
                    weight="blocks" if sizes is None else "parameters"),
        targets=[BudgetTarget(name=f"block.{i}", size=mass[i], value=float(rates[i]))
                 for i in range(n_layers)],
    )


def _step(profile: Profile, sparsity: float, step: float | str, sizes: list[int]) -> float:
    """The step asked for; the predicted one is brought into the legal interval."""
    if not isinstance(step, str):
        return step
    if step != "predicted":
        raise BudgetError("allocate with rule 'arithmetic'", found=f"step={step!r}",
                          expected="a number or 'predicted'")
    least, greatest = step_bounds(len(sizes), sparsity, sizes=sizes)
    return float(np.clip(predicted_step(profile, sparsity).step, least, greatest))


def _evidence(options: Mapping[str, Any]) -> tuple[str, ...]:
    return ("progression",) if isinstance(options.get("step"), str) else ()


def _notes(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(options.get("step"), str):
        return {}
    sizes = units(profile).sizes.astype(np.int64).tolist()
    found = predicted_step(profile, sparsity)
    return {"predicted_step": _step(profile, sparsity, options["step"], sizes),
            "predicted_from": found.source, "kappa": found.kappa, "slope": found.slope}


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]
             ) -> dict[str, NDArray[np.float64]]:
    if not isinstance(options.get("step"), str):
        return {}
    marginal = predicted_step(profile, sparsity).marginal
    return {"ln marginal damage": units(profile).spread(marginal)}


@rule_form(evidence=_evidence, columns=_columns, notes=_notes)
def arithmetic_rates(profile: Profile, sparsity: float, *, step: float | str
                     ) -> NDArray[np.float64]:
    """Rule ``arithmetic``: every linear of a block takes its block's rate.

    Parameters
    ----------
    profile
        Sizes are enough for a step that is given; ``"predicted"`` needs ``progression``.
    step
        Common difference of neighbouring blocks, or ``"predicted"``: kappa / k of
        :func:`predicted_step`, brought into the legal interval.

    Returns
    -------
    rates : array of shape (targets,)

    Raises
    ------
    BudgetError
        The step is outside the legal interval, or cannot be predicted.
    """
    mass = units(profile).sizes.astype(np.int64).tolist()
    return progression_rates(profile.block, profile.sizes, sparsity,
                             _step(profile, sparsity, step, mass))
