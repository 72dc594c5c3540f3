"""How a reconstruction error travels in depth: exact chains, bounds, theorems. Never torch."""

from neurosparse.propagation.activations import (
    ACTIVATIONS,
    Activation,
    activation_constant,
    rmsnorm_constant,
    slope_between,
)
from neurosparse.propagation.bounds import (
    ball_bound,
    chain_bounds,
    data_bound,
    layer_constant,
    least_stretch,
    norm_bound,
)
from neurosparse.propagation.counterexamples import (
    Counterexample,
    cancelling,
    equal_mean,
    removing_both,
    wide_matrix,
)
from neurosparse.propagation.covariance import ChainError, chain_error
from neurosparse.propagation.error_model import ErrorModel, fit_errors, predicted_step
from neurosparse.propagation.network import Layer, errors, states
from neurosparse.propagation.ordering import (
    best_square_rates,
    best_square_step,
    depth_weights,
    swap_gain,
    theorem_35,
    total_error,
)
from neurosparse.propagation.random_masks import (
    mask_error,
    mask_variance,
    masked_chain_error,
    singular_range,
)
from neurosparse.propagation.theorems import (
    NextError,
    lemma_33,
    theorem_31,
    theorem_32,
    theorem_34,
)

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "ChainError",
    "Counterexample",
    "ErrorModel",
    "Layer",
    "NextError",
    "activation_constant",
    "ball_bound",
    "best_square_rates",
    "best_square_step",
    "cancelling",
    "chain_bounds",
    "chain_error",
    "data_bound",
    "depth_weights",
    "equal_mean",
    "errors",
    "fit_errors",
    "layer_constant",
    "least_stretch",
    "lemma_33",
    "mask_error",
    "mask_variance",
    "masked_chain_error",
    "norm_bound",
    "predicted_step",
    "removing_both",
    "rmsnorm_constant",
    "singular_range",
    "slope_between",
    "states",
    "swap_gain",
    "theorem_31",
    "theorem_32",
    "theorem_34",
    "theorem_35",
    "total_error",
    "wide_matrix",
]
