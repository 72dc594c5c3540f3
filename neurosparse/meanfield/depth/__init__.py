"""Signals and errors through deep networks at large width: q*, c*, χ_1 and depth scales."""

from neurosparse.meanfield.depth.block import Block
from neurosparse.meanfield.depth.critical import CriticalLine, critical_line
from neurosparse.meanfield.depth.fixed_point import (
    DepthFixedPoint,
    depth_fixed_point,
    depth_scale,
)
from neurosparse.meanfield.depth.moments import Moments, moments
from neurosparse.meanfield.depth.propagation import DepthProfile, propagate_depth

__all__ = [
    "Block",
    "CriticalLine",
    "DepthFixedPoint",
    "DepthProfile",
    "Moments",
    "critical_line",
    "depth_fixed_point",
    "depth_scale",
    "moments",
    "propagate_depth",
]
