"""ATP's statements about one layer and its successor (arXiv 2502.14770), in the form that is true.

Each function checks the conditions of its theorem, refuses what does not meet them, and returns
both sides. As printed, Theorems 3.1 and 3.2 and Lemma 3.3 fail: ``counterexamples.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.propagation import checks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NextError:
    """Squared Frobenius error of layer i+1 and what is known from the error of layer i.

    Attributes
    ----------
    error
        |W X - V Y|².
    lower
        A number never above it, up to rounding: in exact numbers the two may be equal.
    local
        |(V - W) X|², the layer's own error on dense input.
    arriving
        |Y - X|², the error of layer i.
    cross
        2⟨V (Y - X), (V - W) X⟩, which ATP drops.
    """

    error: float
    lower: float
    local: float
    arriving: float
    cross: float


def theorem_31(weight: ArrayLike, fewer: ArrayLike, more: ArrayLike, gram: ArrayLike
               ) -> tuple[float, float]:
    """Errors at two masks, the second never below the first.

    True version of Theorem 3.1. Conditions: the inputs are uncorrelated (X Xᵀ diagonal), and the
    second mask removes everything that the first removes. Then the error is the sum of the squared
    Wanda scores W_ij² (X Xᵀ)_jj over the removed weights, which only grows.

    Parameters
    ----------
    weight : array of shape (rows, columns)
    fewer, more : masks of shape (rows, columns)
        1 where a weight is kept.
    gram : array of shape (columns, columns)
        X Xᵀ.

    Returns
    -------
    error at ``fewer``, error at ``more``

    Raises
    ------
    InputError
        A condition does not hold, or shapes do not fit.
    """
    w = checks.matrix("theorem_31", "weight", weight)
    first = checks.mask("theorem_31", "fewer", fewer, w)
    second = checks.mask("theorem_31", "more", more, w)
    g = checks.moment("theorem_31", gram, w.shape[1])
    power = np.diag(g)
    # Correlations count against the scale of the two inputs that they join.
    beside = np.abs(g - np.diag(power))
    if np.any(beside > 1e-12 * np.sqrt(np.outer(power, power).clip(0))):
        raise InputError("theorem_31", found="correlated inputs",
                         expected="X Xᵀ diagonal",
                         mend="Without it more sparsity can mean less error: "
                              "counterexamples.removing_both(). chain_error gives the exact value.")
    if np.any(second & ~first):
        raise InputError("theorem_31", found="a weight removed by `fewer` and kept by `more`",
                         expected="nested masks")
    scores = w**2 * power
    kept_apart = first & ~second
    low = float(scores[~first].sum())
    return low, low + float(scores[kept_apart].sum())


def lemma_33(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """|A B|² and the bound below it, σ_min(A)² |B|² (squared Frobenius norms).

    True version of Lemma 3.3. Condition: A is square or tall; a wide A has a null space in which
    B may lie. Both sides are rounded: where they are equal in exact numbers, as for B in the null
    space of a singular A, the bound may lie above by an ulp of |A|² |B|².

    Raises
    ------
    InputError
        A is wide, or the shapes do not fit.
    """
    left, right = checks.matrix("lemma_33", "a", a), checks.matrix("lemma_33", "b", b)
    rows, columns = left.shape
    if rows < columns:
        raise InputError("lemma_33", found=f"a wide A of shape {left.shape}",
                         expected="at least as many rows as columns",
                         mend="A has a null space, where |A B| = 0: counterexamples.wide_matrix().")
    if columns != right.shape[0]:
        raise InputError("lemma_33", found=f"B with {right.shape[0]} rows",
                         expected=f"{columns}, the columns of A")
    least = float(np.linalg.svd(left, compute_uv=False)[-1])
    return float(np.sum((left @ right) ** 2)), least**2 * float(np.sum(right**2))


def theorem_32(weight: ArrayLike, sparse: ArrayLike, dense_input: ArrayLike,
               sparse_input: ArrayLike) -> NextError:
    """Error of layer i+1 and a lower bound that grows with the error of layer i.

    True version of Theorem 3.2, without dropping the cross term. Condition: the sparse weight V is
    square or tall. With E = Y - X and D = V - W,

        |V E + D X| >= max(0, σ_min(V) |E| - |D X|)          always (triangle),
        |V E + D X|² >= σ_min(V)² |E|² + |D X|²              if the cross term is not negative,

    and the larger one that applies is returned.

    Parameters
    ----------
    weight, sparse : arrays of shape (rows, columns)
        W and V of layer i+1.
    dense_input, sparse_input : arrays of shape (columns, tokens)
        X and Y, the outputs of layer i in the dense and in the sparse network.

    Raises
    ------
    InputError
        V is wide, or shapes do not fit.
    """
    w = checks.matrix("theorem_32", "weight", weight)
    v = checks.same_shape("theorem_32", "sparse", sparse, w)
    x = checks.matrix("theorem_32", "dense_input", dense_input)
    y = checks.same_shape("theorem_32", "sparse_input", sparse_input, x)
    _, carried_low = lemma_33(v, y - x)
    carried, own = v @ (y - x), (v - w) @ x
    local, cross = float(np.sum(own**2)), 2 * float(np.sum(carried * own))
    lower = max(0.0, float(np.sqrt(carried_low) - np.sqrt(local))) ** 2
    if cross >= 0:
        lower = max(lower, carried_low + local)
    return NextError(float(np.sum((carried + own) ** 2)), lower, local,
                     float(np.sum((y - x) ** 2)), cross)


def theorem_34(
    weight: ArrayLike, fewer: ArrayLike, more: ArrayLike, inputs: ArrayLike,
    next_weight: ArrayLike, next_sparse: ArrayLike,
) -> tuple[float, float]:
    """Lower bounds on the error of layer i+1 at two masks of layer i, the second never below.

    True version of Theorem 3.4: Theorem 3.1 (uncorrelated inputs, nested masks) into the first
    bound of Theorem 3.2 (V of layer i+1 square or tall, the same at both masks). The dense input
    of layer i+1 does not depend on the mask, so the bound is a rising function of the error of
    layer i alone. It is about the *bound*: the error itself may fall, when errors cancel.

    Parameters
    ----------
    weight, fewer, more
        Layer i and its masks, each of shape (rows, columns).
    inputs : array of shape (columns, tokens)
        X of layer i, with X Xᵀ diagonal.
    next_weight, next_sparse : arrays of shape (next rows, rows)

    Raises
    ------
    InputError
        A condition does not hold, or shapes do not fit.
    """
    x = checks.matrix("theorem_34", "inputs", inputs)
    w = checks.matrix("theorem_34", "weight", weight)
    low, high = theorem_31(w, fewer, more, x @ x.T)
    after = checks.matrix("theorem_34", "next_weight", next_weight)
    v = checks.same_shape("theorem_34", "next_sparse", next_sparse, after)
    if v.shape[1] != w.shape[0]:
        raise InputError("theorem_34", found=f"next_weight with {v.shape[1]} columns",
                         expected=f"{w.shape[0]}, the rows of weight")
    least = np.sqrt(lemma_33(v, np.eye(v.shape[1]))[1] / v.shape[1])
    own = np.linalg.norm((v - after) @ (w @ x))
    return (float(max(0.0, least * np.sqrt(low) - own) ** 2),
            float(max(0.0, least * np.sqrt(high) - own) ** 2))
