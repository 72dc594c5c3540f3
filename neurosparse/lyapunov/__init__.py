"""Lyapunov exponents of flows, maps, networks and any sequence of linear maps, with errors."""

import neurosparse.lyapunov.network  # noqa: F401 - registers the propagators of Flow and Map
from neurosparse.lyapunov import gallery
from neurosparse.lyapunov.covariant import CovariantVectors, covariant_vectors
from neurosparse.lyapunov.dimension import entropy_rate, kaplan_yorke
from neurosparse.lyapunov.discrete import DiscreteSystem
from neurosparse.lyapunov.ensemble import EnsembleSpectrum, average_spectrum
from neurosparse.lyapunov.phase import phase_diagram
from neurosparse.lyapunov.phase_result import PhaseDiagram
from neurosparse.lyapunov.propagator import Propagator, propagator
from neurosparse.lyapunov.result import Spectrum
from neurosparse.lyapunov.running import Status
from neurosparse.lyapunov.sequences import MatrixSequence, Operators
from neurosparse.lyapunov.spectrum import spectrum
from neurosparse.lyapunov.statistics import mean_error
from neurosparse.lyapunov.system import System

__all__ = [
    "CovariantVectors",
    "DiscreteSystem",
    "EnsembleSpectrum",
    "MatrixSequence",
    "Operators",
    "PhaseDiagram",
    "Propagator",
    "Spectrum",
    "Status",
    "System",
    "average_spectrum",
    "covariant_vectors",
    "entropy_rate",
    "gallery",
    "kaplan_yorke",
    "mean_error",
    "phase_diagram",
    "propagator",
    "spectrum",
]
