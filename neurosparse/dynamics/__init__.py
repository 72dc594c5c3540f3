"""Random recurrent networks: couplings, the flow with its Onsager switch, runs, fixed points."""

from neurosparse.dynamics.couplings import Couplings, check_couplings
from neurosparse.dynamics.end_states import EndStates, end_states
from neurosparse.dynamics.excitatory_inhibitory import (
    ei_couplings,
    ei_moments,
    ei_outlier,
    ei_radius,
)
from neurosparse.dynamics.fixed_points import FixedPoints, find_fixed_points
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.gains import GAINS, Gain, gain, sigmoid, threshold_power
from neurosparse.dynamics.gaussian import gaussian_couplings
from neurosparse.dynamics.linearisation import Linearisation, MapLinearisation
from neurosparse.dynamics.low_rank import LowRankCoupling, low_rank_couplings
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.methods import METHODS
from neurosparse.dynamics.plasticity import HebbianFlow
from neurosparse.dynamics.simulate import simulate
from neurosparse.dynamics.stability import StabilityWarning
from neurosparse.dynamics.trajectory import Trajectory

__all__ = [
    "GAINS",
    "METHODS",
    "Couplings",
    "EndStates",
    "FixedPoints",
    "Flow",
    "Gain",
    "HebbianFlow",
    "Linearisation",
    "LowRankCoupling",
    "Map",
    "MapLinearisation",
    "StabilityWarning",
    "Trajectory",
    "check_couplings",
    "ei_couplings",
    "ei_moments",
    "ei_outlier",
    "ei_radius",
    "end_states",
    "find_fixed_points",
    "gain",
    "gaussian_couplings",
    "low_rank_couplings",
    "sigmoid",
    "simulate",
    "threshold_power",
]
