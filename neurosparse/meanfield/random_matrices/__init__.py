"""Random-matrix laws: eigenvalues and singular values of what neurosparse draws and measures."""

from neurosparse.meanfield.random_matrices.columns import (
    column_radial_distribution,
    column_radius,
)
from neurosparse.meanfield.random_matrices.ellipse import (
    elliptic_axes,
    elliptic_density,
    rest_density,
)
from neurosparse.meanfield.random_matrices.masked import masked_density, masked_edges
from neurosparse.meanfield.random_matrices.norms import (
    norm_jacobian,
    norm_singular_values,
    softmax_bound,
    softmax_jacobian,
)
from neurosparse.meanfield.random_matrices.outliers import EILaw, ei_law, low_rank_outliers
from neurosparse.meanfield.random_matrices.products import (
    gaussian_product_distribution,
    gaussian_product_exponents,
    gaussian_product_quantile,
)
from neurosparse.meanfield.random_matrices.regulated import regulated_density, regulated_edges
from neurosparse.meanfield.random_matrices.slopes import max_slope
from neurosparse.meanfield.random_matrices.spikes import Spike, spike

__all__ = [
    "EILaw",
    "Spike",
    "column_radial_distribution",
    "column_radius",
    "ei_law",
    "elliptic_axes",
    "elliptic_density",
    "gaussian_product_distribution",
    "gaussian_product_exponents",
    "gaussian_product_quantile",
    "low_rank_outliers",
    "masked_density",
    "masked_edges",
    "max_slope",
    "norm_jacobian",
    "norm_singular_values",
    "regulated_density",
    "regulated_edges",
    "rest_density",
    "softmax_bound",
    "softmax_jacobian",
    "spike",
]
