"""Check a bound on the error of a sparse network against the errors themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError, NeurosparseError
from neurosparse.propagation import Layer, errors, layer_constant
from neurosparse.testing.strategies import inputs, small_networks

Array = NDArray[np.float64]
Bound = Callable[[list[Layer], Array], ArrayLike]

#: Errors are differences of states and known to their rounding: this fraction of the largest that
#: the states can be.
ROUNDING = 1e-12


class BoundViolated(NeurosparseError, AssertionError):
    """A network and an input whose error is on the wrong side of the bound.

    Attributes
    ----------
    layers, x
        The counterexample, shrunk.
    """

    def __init__(self, layers: list[Layer], x: Array, *, found: str, expected: str) -> None:
        self.layers, self.x = layers, x
        shown = "; ".join(
            f"{a.activation}{' + residual' if a.residual else ''} dense {a.dense.tolist()} "
            f"sparse {a.sparse.tolist()}" for a in layers)
        super().__init__("check_bound", found=found, expected=expected,
                         mend=f"Input {x.tolist()}; layers: {shown}")


@dataclass(frozen=True)
class BoundReport:
    """What was seen of a bound that held.

    Attributes
    ----------
    examples
        Networks checked.
    best, median
        Tightness over the errors that were not zero: smaller side over larger, one where the bound
        is attained. NaN where every error was zero.
    """

    examples: int
    best: float
    median: float


def check_bound(
    bound: Bound, *, side: Literal["upper", "lower"] = "upper",
    networks: st.SearchStrategy[list[Layer]] | None = None, examples: int = 200,
    largest_input: float = 3.0, seed: int | None = None,
) -> BoundReport:
    """Look for a network and an input that break a bound.

    Inside a test of hypothesis' own, that test must say
    ``@settings(suppress_health_check=[HealthCheck.nested_given])``, or hypothesis refuses it.

    Parameters
    ----------
    bound : callable (layers, x) -> number or array of shape (layers,)
        Bound of |e| after the last layer, or after each; ``x`` has shape (columns,).
    side
        ``"upper"``: the error is at most the bound; ``"lower"``: at least.
    networks
        What to draw from; ``small_networks()`` if not given. Give the condition of a bound here,
        for instance ``small_networks(activations=("linear",), tall=True)``.
    examples
        How many to draw.
    largest_input
        Largest entry of an input.
    seed
        Another sequence of examples; the same one at each call if not given.

    Returns
    -------
    BoundReport

    Raises
    ------
    BoundViolated
        An error on the wrong side; the smallest example that hypothesis found.
    InputError
        The bound returns NaN or another shape, or an unknown side.
    """
    if side not in ("upper", "lower") or examples < 1:
        raise InputError("check_bound", found=f"side {side!r}, {examples} examples",
                         expected="'upper' or 'lower', at least one example")
    drawn = small_networks() if networks is None else networks
    seen: list[Array] = []

    def look(data: st.DataObject) -> None:
        layers = data.draw(drawn, label="layers")
        x = data.draw(inputs(layers[0].dense.shape[1], largest=largest_input), label="x")
        seen.append(_tightness(layers, x, bound(layers, x), side))

    # A check must not depend on the machine's speed or leave files behind. One failure is enough:
    # of a bound that fails in several ways hypothesis would raise a group of all.
    test: Any = settings(max_examples=examples, deadline=None, database=None,
                         derandomize=seed is None, phases=(Phase.generate, Phase.shrink),
                         report_multiple_bugs=False,
                         suppress_health_check=list(HealthCheck))(given(st.data())(look))
    (test if seed is None else hypothesis_seed(seed)(test))()
    ratios = np.concatenate(seen)
    if not ratios.size:
        return BoundReport(len(seen), float("nan"), float("nan"))
    return BoundReport(len(seen), float(ratios.max()), float(np.median(ratios)))


def _tightness(layers: list[Layer], x: Array, value: ArrayLike, side: str) -> Array:
    """Smaller side over larger where the error is not zero; raises where the bound fails."""
    found, scale = errors(layers, x), _scale(layers, x)
    told = np.asarray(value, float)
    if told.ndim == 0:
        found, scale, told = found[-1:], scale[-1:], told[None]
    if told.shape != found.shape or np.any(np.isnan(told)):
        raise InputError("check_bound", found=f"a bound {value!r}",
                         expected=f"a number, or an array of shape ({len(layers)},)")
    slack = ROUNDING * scale
    excess = found - told if side == "upper" else told - found
    if np.any(excess > slack):
        at = int(np.argmax(excess - slack))
        depth = at + 1 if found.size == len(layers) else len(layers)
        raise BoundViolated(layers, x, found=f"an error {found[at]:.6g} after layer {depth}",
                            expected=f"at {'most' if side == 'upper' else 'least'} the bound, "
                                     f"{told[at]:.6g}")
    counted = found > 10 * slack
    small, large = (found, told) if side == "upper" else (told, found)
    return np.asarray(np.minimum(1.0, small[counted].clip(0) / large[counted]))


def _scale(layers: Sequence[Layer], x: Array) -> Array:
    """How large the states of either network can be after each layer."""
    reach, found = float(np.linalg.norm(x)), []
    for layer in layers:
        reach *= max(layer_constant(layer), layer_constant(layer, sparse=False))
        found.append(reach)
    return np.array(found)
