"""Small networks that bounds are about: layers with a dense and a sparse matrix each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.propagation import checks
from neurosparse.propagation.activations import activation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """One layer, x -> φ(W x), or x -> x + φ(W x) with a residual path.

    Parameters
    ----------
    dense, sparse : arrays of shape (rows, columns)
        W and V.
    activation
        One of ``ACTIVATIONS``; all of them map zero to zero.
    residual
        Whether the input is added; the matrices must then be square.

    Raises
    ------
    InputError
        Shapes differ, an unknown activation, a residual path around a matrix that is not square.
    """

    dense: Array
    sparse: Array
    activation: str = "linear"
    residual: bool = False

    def __post_init__(self) -> None:
        w = checks.matrix("layer", "dense", self.dense)
        object.__setattr__(self, "dense", w)
        object.__setattr__(self, "sparse", checks.same_shape("layer", "sparse", self.sparse, w))
        activation(self.activation)
        if self.residual and w.shape[0] != w.shape[1]:
            raise InputError("layer", found=f"a residual path around a matrix {w.shape}",
                             expected="a square matrix")

    def apply(self, state: Array, *, sparse: bool) -> Array:
        """Output, shape (rows,) or (rows, tokens), of the dense or the sparse layer."""
        branch = activation(self.activation).value((self.sparse if sparse else self.dense) @ state)
        return state + branch if self.residual else branch


def check_network(operation: str, layers: Sequence[Layer]) -> None:
    """Refuse an empty network and layers that do not fit.

    Raises
    ------
    InputError
        Either.
    """
    if not layers:
        raise InputError(operation, found="no layer", expected="at least one")
    checks.chain(operation, [a.dense for a in layers], [a.sparse for a in layers])


def states(layers: Sequence[Layer], x: ArrayLike) -> tuple[list[Array], list[Array]]:
    """States of the dense and of the sparse network, the input first, layers + 1 of each.

    Parameters
    ----------
    x : array of shape (columns,)

    Raises
    ------
    InputError
        An empty network, shapes that do not fit, an input or a state that is not finite.
    """
    check_network("states", layers)
    start = checks.vector("states", "an input", x, layers[0].dense.shape[1])
    dense, sparse = [start], [start]
    for layer in layers:
        dense.append(layer.apply(dense[-1], sparse=False))
        sparse.append(layer.apply(sparse[-1], sparse=True))
    if not np.all(np.isfinite(np.concatenate([*dense, *sparse]))):
        raise InputError("states", found="a state too large for float64",
                         expected="finite states", mend="Take a smaller input or smaller weights.")
    return dense, sparse


def errors(layers: Sequence[Layer], x: ArrayLike) -> Array:
    """|e_l| after each layer, shape (layers,).

    Raises
    ------
    InputError
        As ``states``.
    """
    dense, sparse = states(layers, x)
    return np.array([np.linalg.norm(b - a) for a, b in zip(dense[1:], sparse[1:], strict=True)])
