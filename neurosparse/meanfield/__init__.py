"""Mean-field theory: Gaussian averages, static, stationary and two-time solutions, exponents,
spectrum densities, depth, and random-matrix laws.
"""

from neurosparse.meanfield.critical import (
    critical_gain,
    critical_noise,
    local_noise,
    onset_is_continuous,
)
from neurosparse.meanfield.density import full_thresholds, spectrum_density
from neurosparse.meanfield.density_exact import semicircle_share
from neurosparse.meanfield.density_result import SpectrumDensity, dimension_and_entropy
from neurosparse.meanfield.depth import (
    Block,
    CriticalLine,
    DepthFixedPoint,
    DepthProfile,
    critical_line,
    depth_fixed_point,
    depth_scale,
    propagate_depth,
)
from neurosparse.meanfield.inputs import Constant, Sinusoid
from neurosparse.meanfield.max_exponent import max_exponent
from neurosparse.meanfield.quadrature import average, pair_average
from neurosparse.meanfield.random_matrices import (
    EILaw,
    Spike,
    column_radial_distribution,
    column_radius,
    ei_law,
    elliptic_axes,
    elliptic_density,
    gaussian_product_distribution,
    gaussian_product_exponents,
    gaussian_product_quantile,
    low_rank_outliers,
    masked_density,
    masked_edges,
    max_slope,
    norm_jacobian,
    norm_singular_values,
    regulated_density,
    regulated_edges,
    rest_density,
    softmax_bound,
    softmax_jacobian,
    spike,
)
from neurosparse.meanfield.regulated import regulated
from neurosparse.meanfield.replica import ReplicaSaddle, replica_saddle
from neurosparse.meanfield.response import linear_response, linear_variance
from neurosparse.meanfield.solution import StationarySolution, check_covariance
from neurosparse.meanfield.stationary import static_variance, stationary
from neurosparse.meanfield.two_time import two_time
from neurosparse.meanfield.two_time_result import TwoTime

__all__ = [
    "Block",
    "Constant",
    "CriticalLine",
    "DepthFixedPoint",
    "DepthProfile",
    "EILaw",
    "ReplicaSaddle",
    "Sinusoid",
    "SpectrumDensity",
    "Spike",
    "StationarySolution",
    "TwoTime",
    "average",
    "check_covariance",
    "column_radial_distribution",
    "column_radius",
    "critical_gain",
    "critical_line",
    "critical_noise",
    "depth_fixed_point",
    "depth_scale",
    "dimension_and_entropy",
    "ei_law",
    "elliptic_axes",
    "elliptic_density",
    "full_thresholds",
    "gaussian_product_distribution",
    "gaussian_product_exponents",
    "gaussian_product_quantile",
    "linear_response",
    "linear_variance",
    "local_noise",
    "low_rank_outliers",
    "masked_density",
    "masked_edges",
    "max_exponent",
    "max_slope",
    "norm_jacobian",
    "norm_singular_values",
    "onset_is_continuous",
    "pair_average",
    "propagate_depth",
    "regulated",
    "regulated_density",
    "regulated_edges",
    "replica_saddle",
    "rest_density",
    "semicircle_share",
    "softmax_bound",
    "softmax_jacobian",
    "spectrum_density",
    "spike",
    "static_variance",
    "stationary",
    "two_time",
]
