"""How much is gone at each step of gradual pruning, and what training each step gets."""

from __future__ import annotations

import numpy as np

from neurosparse.budgets.allocator import exact_counts
from neurosparse.errors import InputError

# Of the published runs: four short steps, and as much again and half in the last.
_SHORT = 0.1


def cubic(sparsity: float, steps: int, *, start: float = 0.0) -> list[float]:
    """Sparsities after each of ``steps`` prunings: ``S - (S - S_0) (1 - t / T)^3``.

    LoSA's schedule (arXiv 2502.14816; Zhu and Gupta 2017): much at first, little at the end.

    Parameters
    ----------
    sparsity
        S, reached exactly at the last step.
    steps
        T, at least 1.
    start
        S_0, what is gone already.

    Raises
    ------
    InputError
        No step, or not ``0 <= start <= sparsity < 1``.
    """
    if steps < 1:
        raise InputError("sparsity schedule", found=f"{steps} steps", expected="at least 1")
    if not 0 <= start <= sparsity < 1:
        raise InputError(
            "sparsity schedule", found=f"sparsity {sparsity:g} from {start:.4g}",
            expected="0 <= what is gone already <= sparsity < 1",
            mend="A model cannot be made less sparse than it is; ask for more.")
    # The last is S itself, not S less a rounding error.
    return [sparsity - (sparsity - start) * (1 - t / steps) ** 3 for t in range(1, steps)] + [
        float(sparsity)]


def rank_path(mean: int, steps: int) -> list[int]:
    """Mean ranks of the steps: one more at each, ``mean`` at the last, at least 1.

    LoSA's equation 9 gives 6, 7, 8, 9, 10 in five steps.
    """
    return [max(1, mean - (steps - 1 - t)) for t in range(steps)]


def batches_of_steps(batches: int, steps: int) -> list[int]:
    """Training batches of each step: a tenth to each but the last, the rest to the last.

    Raises
    ------
    InputError
        Fewer batches than steps.
    """
    if batches < steps:
        raise InputError("share the training batches", found=f"{batches} batches, {steps} steps",
                         expected="at least one batch a step",
                         mend="Give more training text, shorter windows, a smaller --batch, or "
                              "fewer --steps.")
    short = min(_SHORT, 1 / steps)
    shares = np.full(steps, short)
    shares[-1] = 1 - short * (steps - 1)
    free = batches - steps
    return [1 + int(count) for count in exact_counts(shares, np.full(steps, free), free)]
