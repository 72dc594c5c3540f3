"""Hypothesis strategies for chains, masks, inputs and small networks.

Entries are whole multiples of 1/100: they shrink to short counterexamples and neither overflow nor
vanish in products.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.propagation import ACTIVATIONS, Layer

Array = NDArray[np.float64]


def _entries(largest: float) -> st.SearchStrategy[float]:
    if not 0.01 <= largest < float("inf"):
        raise InputError("testing", found=f"largest {largest!r}",
                         expected="a finite number of at least 0.01")
    bound = round(100 * largest)
    bound -= bound / 100 > largest  # 2.999 allows 2.99 and not 3
    return st.integers(-bound, bound).map(lambda n: n / 100)


def inputs(width: int, *, largest: float = 3.0) -> st.SearchStrategy[Array]:
    """Vectors of shape (width,), entries in [-largest, largest].

    Raises
    ------
    InputError
        ``largest`` is below 0.01 or not finite, or the width below one.
    """
    if width < 1:
        raise InputError("testing", found=f"width {width}", expected="at least one")
    return arrays(np.float64, (width,), elements=_entries(largest))


def masks(shape: tuple[int, int]) -> st.SearchStrategy[NDArray[np.bool_]]:
    """Masks of any sparsity; true where a weight is kept. They shrink to all kept.

    Parameters
    ----------
    shape
        (rows, columns).
    """
    return arrays(np.bool_, shape, elements=st.booleans().map(lambda removed: not removed))


@st.composite
def chains(
    draw: st.DrawFn, *, max_layers: int = 4, max_width: int = 5, tall: bool = False,
    largest: float = 3.0,
) -> list[Array]:
    """Matrices that can follow one another, layer l of shape (n_l, n_{l-1}).

    Parameters
    ----------
    max_layers, max_width
        At least one each.
    tall
        Only square or tall matrices (what lower bounds need).
    largest
        Largest entry.
    """
    if max_layers < 1 or max_width < 1:
        raise InputError("testing", found=f"max_layers {max_layers}, max_width {max_width}",
                         expected="at least one of each")
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=max_layers + 1))
    if tall:
        widths.sort()
    return [draw(arrays(np.float64, (widths[i + 1], widths[i]), elements=_entries(largest)))
            for i in range(len(widths) - 1)]


@st.composite
def small_networks(
    draw: st.DrawFn, *, max_layers: int = 4, max_width: int = 5, tall: bool = False,
    activations: Sequence[str] = tuple(sorted(ACTIVATIONS)), residual: bool = True,
    largest: float = 3.0,
) -> list[Layer]:
    """Networks with a dense matrix and a masked copy in each layer.

    Parameters
    ----------
    max_layers, max_width, tall, largest
        As ``chains``.
    activations
        Names to draw from; ``("linear",)`` gives linear chains.
    residual
        Whether square layers may have a residual path.
    """
    layers = []
    for dense in draw(chains(max_layers=max_layers, max_width=max_width, tall=tall,
                             largest=largest)):
        rows, columns = dense.shape
        sparse = np.where(draw(masks((rows, columns))), dense, 0.0)
        layers.append(Layer(dense, sparse, draw(st.sampled_from(list(activations))),
                            residual and rows == columns and draw(st.booleans())))
    return layers
