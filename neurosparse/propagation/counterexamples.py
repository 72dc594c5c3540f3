"""Where ATP's statements fail as printed: small cases, computed and not quoted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurosparse.propagation.ordering import best_square_step, total_error


@dataclass(frozen=True)
class Counterexample:
    """A claim ``left >= right`` of the paper, and a case in which left is below right.

    Attributes
    ----------
    claim
        The statement as printed, in words.
    left, right
        The two sides in this case.
    """

    claim: str
    left: float
    right: float


def removing_both() -> Counterexample:
    """Theorem 3.1 with correlated inputs: weights +1 and -1 on two equal inputs (1, 2).

    Their contributions cancel; removing one leaves an error of 5, removing both none.
    """
    weight, inputs = np.array([[1.0, -1.0]]), np.array([[1.0, 2.0], [1.0, 2.0]])
    one, both = (float(np.sum(((weight * mask - weight) @ inputs) ** 2))
                 for mask in (np.array([[1, 0]]), np.array([[0, 0]])))
    return Counterexample("Theorem 3.1: the sparser mask has the larger error", both, one)


def wide_matrix() -> Counterexample:
    """Lemma 3.3 with a wide A = (1, 0): B = (0, 1)ᵀ lies in its null space."""
    a, b = np.array([[1.0, 0.0]]), np.array([[0.0], [1.0]])
    least = float(np.linalg.svd(a, compute_uv=False)[-1])
    return Counterexample("Lemma 3.3: |A B|² >= σ_min(A)² |B|²", float(np.sum((a @ b) ** 2)),
                          least**2 * float(np.sum(b**2)))


def cancelling() -> Counterexample:
    """Theorem 3.2 with a negative cross term: layer two undoes what layer one did.

    x = 1, W_1 = 1 and V_1 = 1/2; W_2 = 1 and V_2 = 2: the output is exact, the bound is one.
    """
    first, second = 0.5, 2.0
    return Counterexample("Theorem 3.2: L_{i+1} > σ_min(V)² L_i", (second * first - 1.0) ** 2,
                          second**2 * (first - 1.0) ** 2)


def equal_mean() -> Counterexample:
    """Theorem 3.5 as worded, L = 32, S = 0.7, c = 1.01, f = s².

    The increasing progression of step 1e-4 costs 287.1; the steepest legal one with its two middle
    entries exchanged, hence not monotone, has the same mean and costs 219.9.
    """
    layers, sparsity, c = 32, 0.7, 1.01
    offsets = np.arange(layers) - (layers - 1) / 2
    monotone = sparsity + 1e-4 * offsets
    other = sparsity + best_square_step(layers, sparsity, c) * offsets
    other[[15, 16]] = other[[16, 15]]

    def square(s: float) -> float:
        return s * s

    return Counterexample("Theorem 3.5: a scheme that is not monotone costs more than any "
                          "increasing progression of the same mean",
                          total_error(other.clip(0, 1), c, square),
                          total_error(monotone, c, square))
