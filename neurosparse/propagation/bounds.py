"""Bounds on the error after each layer: above by norms, on the data, and below (theory.md 3).

With G_l the sparse and F_l the dense layer, e_l = [G_l(y) - G_l(x)] + δ_l, δ_l = G_l(x) - F_l(x), x
and y the states before the layer. So |e_l| <= Lip(G_l) |e_{l-1}| + |δ_l| with nothing neglected,
and |e_l| >= | |G_l(y) - G_l(x)| - |δ_l| |.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.propagation import checks
from neurosparse.propagation.activations import activation_constant, slope_between
from neurosparse.propagation.network import Layer, check_network, states

Array = NDArray[np.float64]


def norm_bound(lipschitz: ArrayLike, local: ArrayLike) -> Array:
    """Σ_l (Π_{m>l} Lip_m) |δ_l| after each layer, shape (layers,).

    Parameters
    ----------
    lipschitz : array of shape (layers,)
        Lipschitz constants of the *sparse* layers, 1 + that of the branch where there is a
        residual path.
    local : array of shape (layers,)
        Upper bounds of |δ_l|, the error of the layer on dense input.

    Raises
    ------
    InputError
        Shapes differ, or a number is negative or not finite.
    """
    factors = checks.numbers("norm_bound", "constants", lipschitz)
    own = checks.numbers("norm_bound", "errors", local)
    if factors.ndim != 1 or factors.shape != own.shape or not factors.size:
        raise InputError("norm_bound", found=f"shapes {factors.shape} and {own.shape}",
                         expected="one Lipschitz constant and one local error a layer")
    if not np.all(np.isfinite(factors) & np.isfinite(own) & (factors >= 0) & (own >= 0)):
        raise InputError("norm_bound", found="a number that is negative or not finite",
                         expected="constants and errors of at least zero")
    bound = np.empty_like(own)
    carried = 0.0
    for i, (factor, made) in enumerate(zip(factors, own, strict=True)):
        # Nothing passes a constant of zero, not even a bound that has left the finite numbers.
        bound[i] = carried = (factor * carried if factor else 0.0) + made
    return bound


def layer_constant(layer: Layer, *, sparse: bool = True) -> float:
    """Lipschitz constant of a layer over all inputs: slope |V|, and 1 + that with a residual path.

    |V| is the largest singular value.
    """
    matrix = layer.sparse if sparse else layer.dense
    branch = activation_constant(layer.activation) * _norm(matrix)
    return branch + 1 if layer.residual else branch


def ball_bound(layers: Sequence[Layer], radius: float) -> Array:
    """Upper bound of the error after each layer for every input |x| <= radius, shape (layers,).

    Valid at any depth for every activation: sup|δ_l| <= slope |V - W| r_l with r_l the radius that
    the dense states can have reached, a product of Lipschitz constants.

    Raises
    ------
    InputError
        An empty network, layers that do not fit, a radius that is negative or not finite.
    """
    check_network("ball_bound", layers)
    size = checks.numbers("ball_bound", "radius", radius)
    if size.ndim or not (np.isfinite(size) and size >= 0):
        raise InputError("ball_bound", found=f"radius {radius!r}",
                         expected="a finite radius of at least zero")
    local, reach = np.empty(len(layers)), float(size)
    for i, layer in enumerate(layers):
        slope = activation_constant(layer.activation)
        local[i] = slope * _norm(layer.sparse - layer.dense) * reach
        reach *= layer_constant(layer, sparse=False)
    return norm_bound([layer_constant(layer) for layer in layers], local)


def data_bound(layers: Sequence[Layer], x: ArrayLike) -> Array:
    """Upper bound of the error after each layer for this input, shape (layers,).

    The local Lipschitz constant along the segment from the dense to the sparse state takes the
    place of the global one: the largest slope of each unit between its two pre-activations,
    |diag(slopes) V|. The local errors are those of this input. Never above
    ``ball_bound(layers, |x|)``, up to rounding.

    Parameters
    ----------
    x : array of shape (columns,)

    Raises
    ------
    InputError
        As ``network.states``.
    """
    dense, sparse = states(layers, x)
    factors, local = np.empty(len(layers)), np.empty(len(layers))
    for i, layer in enumerate(layers):
        slopes = slope_between(layer.activation, layer.sparse @ dense[i], layer.sparse @ sparse[i])
        # With a residual path the sum of both is bounded, which 1 + |branch| is not above.
        factors[i] = _norm(slopes[:, None] * layer.sparse) + float(layer.residual)
        local[i] = np.linalg.norm(layer.apply(dense[i], sparse=True) - dense[i + 1])
    return norm_bound(factors, local)


def least_stretch(matrix: ArrayLike) -> float:
    """min |V x| / |x|: the least singular value; 0 for a wide matrix, which has a null space.

    Raises
    ------
    InputError
        No finite matrix.
    """
    v = checks.matrix("least_stretch", "matrix", matrix)
    return float(np.linalg.svd(v, compute_uv=False)[-1]) if v.shape[0] >= v.shape[1] else 0.0


def chain_bounds(layers: Sequence[Layer], x: ArrayLike) -> tuple[Array, Array]:
    """Lower and upper bound of the error after each layer of a linear chain, both (layers,).

    From the local errors of this input and the extreme singular values of the sparse matrices:

        lower_l = max(0, σ_min lower_{l-1} - |δ_l|, |δ_l| - σ_max upper_{l-1}).

    σ_min is zero for a wide matrix (ATP's Lemma 3.3, corrected), so error may vanish in it. A
    residual path counts: the matrix is then 1 + V.

    Raises
    ------
    InputError
        An activation that is not linear, or as ``network.states``.
    """
    curved = [i for i, layer in enumerate(layers) if layer.activation != "linear"]
    if curved:
        raise InputError("chain_bounds", found=f"layer {curved[0]} with activation "
                         f"{layers[curved[0]].activation!r}", expected="linear layers",
                         mend="Errors can vanish in a flat activation; use data_bound.")
    dense, _ = states(layers, x)
    lower, upper = np.empty(len(layers)), np.empty(len(layers))
    low = high = 0.0
    for i, layer in enumerate(layers):
        matrix = layer.sparse + np.eye(len(layer.sparse)) if layer.residual else layer.sparse
        own = float(np.linalg.norm(layer.apply(dense[i], sparse=True) - dense[i + 1]))
        most = _norm(matrix)
        low = max(0.0, least_stretch(matrix) * low - own, own - most * high)
        high = most * high + own
        lower[i], upper[i] = low, high
    return lower, upper


def _norm(matrix: Array) -> float:
    return float(np.linalg.norm(matrix, 2))
