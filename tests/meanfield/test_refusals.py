"""What no public function takes: a text for a number, an input of another kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurosparse import meanfield
from neurosparse.errors import InputError
from neurosparse.meanfield import Block, Constant, Sinusoid

S = np.linspace(-2.0, 1.0, 7)


def square(x: Any) -> Any:
    return x * x


# a call of each public function that works, and is cheap enough to be made
CALLS: dict[str, dict[str, Any]] = {
    "Block": {"weight_variance": 1.0, "bias_variance": 0.1, "skip": 0.5, "branch": 1.0,
              "norm_scale": 1.0},
    "Constant": {"mean": 0.1, "spread": 0.2},
    "Sinusoid": {"amplitude": 1.0, "frequency": 2.0},
    "average": {"f": square, "variance": 1.0, "mean": 0.0},
    "check_covariance": {"autocovariance": np.exp(-np.arange(9.0)), "operation": "test",
                         "tolerance": 1.0},
    "column_radial_distribution": {"radius": 0.5, "variances": [1.0, 2.0], "fractions": [0.5, 0.5]},
    "column_radius": {"variances": [1.0, 2.0], "fractions": [0.5, 0.5]},
    "critical_gain": {"phi": "tanh", "symmetry": 0.1, "noise": 0.0},
    "critical_line": {"bias_variance": 0.1, "phi": "erf"},
    "critical_noise": {"gain": 0.5, "phi": "tanh"},
    "depth_fixed_point": {"block": Block(0.5), "start": 1.0},
    "depth_scale": {"slope": 0.5},
    "dimension_and_entropy": {"s": S, "cumulative": (S + 2) / 3, "edge": 1.0},
    "ei_law": {"n": 100, "mean_e": 1.0, "mean_i": -1.0, "std_e": 1.0, "std_i": 1.0},
    "elliptic_axes": {"gain": 1.0, "symmetry": 0.1, "sparsity": 0.2},
    "elliptic_density": {"eigenvalue": 0.1j, "gain": 1.0, "symmetry": 0.1, "sparsity": 0.2},
    "full_thresholds": {"upper_edge": 0.1, "delta": 0.5, "below": 2.0, "points": 6},
    "gaussian_product_distribution": {"exponent": -1.0, "gain": 1.0},
    "gaussian_product_exponents": {"size": 3, "gain": 1.0},
    "gaussian_product_quantile": {"position": 0.5, "gain": 1.0},
    "linear_response": {"times": [0.0, 1.0], "gain": 0.5, "symmetry": 0.1},
    "linear_variance": {"gain": 0.5, "symmetry": 0.1, "noise": 1.0},
    "local_noise": {"gain": 0.5, "phi": "tanh"},
    "low_rank_outliers": {"left": np.ones(4), "right": np.ones(4), "gain": 0.5, "symmetry": 0.1,
                          "sparsity": 0.2},
    "masked_density": {"value": 1.0, "rows": 3, "columns": 4, "sparsity": 0.2, "gain": 1.0},
    "masked_edges": {"rows": 3, "columns": 4, "sparsity": 0.2, "gain": 1.0},
    "max_exponent": {"state": 0.5, "phi": "tanh", "delta": 0.5, "noise": 0.0, "drive": None},
    "max_slope": {"activation": "tanh"},
    "norm_jacobian": {"x": [1.0, 2.0], "kind": "rms", "gain": 1.0, "eps": 0.1},
    "norm_singular_values": {"x": [1.0, 2.0], "kind": "rms", "eps": 0.1},
    "onset_is_continuous": {"phi": "tanh"},
    "pair_average": {"f": square, "g": square, "variance": 1.0, "covariance": 0.5, "mean": 0.0},
    "propagate_depth": {"blocks": [Block(0.5)], "variance": 1.0, "correlation": 0.5},
    "regulated": {"gain": 0.5, "gamma": 1.0, "phi": "tanh", "symmetry": 0.0, "duration": 0.4,
                  "dt": 0.1, "temperature": 0.0, "initial_variance": 1.0, "trajectories": 64,
                  "replicas": 2, "seed": 0},
    "regulated_density": {"value": 1.0, "gain": 0.5},
    "regulated_edges": {"gain": 0.5},
    "replica_saddle": {"gain": 0.5, "phi": "tanh", "ridge": 0.0, "start": (0.5, 1.0, 0.5, 0.5),
                       "damping": 0.2, "points": 9, "iterations": 1, "tolerance": 1e-6},
    "rest_density": {"exponent": -1.0, "gain": 1.0, "symmetry": 0.1, "sparsity": 0.2},
    "semicircle_share": {"s": -1.0, "radius": 0.5},
    "softmax_bound": {"logits": [1.0, 2.0], "temperature": 1.0},
    "softmax_jacobian": {"logits": [1.0, 2.0], "temperature": 1.0},
    "spectrum_density": {"gain": 0.5, "phi": "tanh", "delta": 0.5, "noise": 0.0, "drive": None,
                         "thresholds": [-1.0], "window": 32.0, "spacing": 0.5, "paths": 2,
                         "scrambles": 1, "regulators": (8e-4, 2e-4), "tolerance": 1e-6, "seed": 0},
    "spike": {"strength": 2.0, "rows": 3, "columns": 4, "noise": 1.0, "sparsity": 0.2},
    "static_variance": {"gain": 0.5, "phi": "tanh", "delta": 0.5, "noise": 0.0, "drive": None},
    "stationary": {"gain": 0.5, "phi": "tanh", "delta": 0.5, "noise": 0.0, "drive": None,
                   "window": 10.0, "lag_step": 0.5, "tolerance": 1e-8},
    "two_time": {"gain": 0.5, "phi": "tanh", "symmetry": 0.1, "duration": 0.4, "dt": 0.1,
                 "noise": 0.0, "initial_variance": 1.0, "input_covariance": np.eye(5),
                 "trajectories": 64, "replicas": 2, "seed": 0},
}
# results, which only the functions make
RESULTS = {"CriticalLine", "DepthFixedPoint", "DepthProfile", "EILaw", "ReplicaSaddle",
           "SpectrumDensity", "Spike", "StationarySolution", "TwoTime"}
# a name said back to the user, and functions: their own errors are better than ours
FREE = {("check_covariance", "operation"), ("average", "f"), ("pair_average", "f"),
        ("pair_average", "g")}
PLACES = [(name, argument) for name, call in CALLS.items() for argument in call
          if (name, argument) not in FREE]


def call(name: str, **changed: Any) -> Any:
    return getattr(meanfield, name)(**{**CALLS[name], **changed})


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_work_unchanged(name: str) -> None:
    call(name)


def test_every_public_function_is_here() -> None:
    assert {*CALLS, *RESULTS} == set(meanfield.__all__)
    for name, arguments in CALLS.items():
        known = inspect.signature(getattr(meanfield, name)).parameters
        assert set(arguments) <= set(known) or name == "ei_law"


@pytest.mark.parametrize(("name", "argument"), PLACES)
@pytest.mark.parametrize("bad", ["a", ["a", "b"], object()], ids=["text", "texts", "object"])
def test_what_is_no_number_is_refused(name: str, argument: str, bad: Any) -> None:
    with pytest.raises(InputError, match="found"):
        call(name, **{argument: bad})


@pytest.mark.parametrize("bad", ["2", [2.0, 3.0], None, 2j, 10**400],
                         ids=["text", "list", "none", "complex", "too large"])
def test_a_gain_is_one_real_number(bad: Any) -> None:
    with pytest.raises(InputError, match="gain"):
        meanfield.stationary(bad)


@pytest.mark.parametrize("number", [np.float32(0.5), np.array(0.5), np.int64(0)])
def test_numbers_of_numpy_are_numbers(number: Any) -> None:
    assert meanfield.stationary(number).max_exponent == pytest.approx(float(number) - 1, abs=1e-14)


@pytest.mark.parametrize("make", [
    lambda drive: meanfield.static_variance(2.0, drive=drive),
    lambda drive: meanfield.spectrum_density(2.0, drive=drive)], ids=["variance", "density"])
@pytest.mark.parametrize("drive", [0.5, "a", Sinusoid(1.0, 1.0), Sinusoid(0.0, 1.0)])
def test_only_a_constant_is_taken(make: Callable[[Any], Any], drive: Any) -> None:
    with pytest.raises(InputError, match="expected a Constant, or None"):
        make(drive)


@pytest.mark.parametrize("make", [meanfield.stationary, meanfield.max_exponent])
@pytest.mark.parametrize("drive", [0.5, "a", (1.0, 1.0), Constant])
def test_only_inputs_are_taken(make: Callable[..., Any], drive: Any) -> None:
    with pytest.raises(InputError, match="expected a Constant, a Sinusoid, or None"):
        make(2.0, drive=drive)
