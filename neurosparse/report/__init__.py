"""Show what a run did: one HTML page, and its figures by themselves. From files alone, no torch."""

from neurosparse.report.figure_adaptation import adaptation
from neurosparse.report.figure_autocovariance import autocovariance
from neurosparse.report.figure_budgets import budgets
from neurosparse.report.figure_curves import curves
from neurosparse.report.figure_depth import depth
from neurosparse.report.figure_joined import joined
from neurosparse.report.figure_perplexity import perplexity
from neurosparse.report.figure_phase import phase
from neurosparse.report.figure_rates import rates
from neurosparse.report.figure_spectrum import spectrum
from neurosparse.report.figure_token_budgets import token_budgets
from neurosparse.report.figure_trajectory import trajectory
from neurosparse.report.figure_two_time import two_time
from neurosparse.report.figure_video import video
from neurosparse.report.page import write

__all__ = [
    "adaptation",
    "autocovariance",
    "budgets",
    "curves",
    "depth",
    "joined",
    "perplexity",
    "phase",
    "rates",
    "spectrum",
    "token_budgets",
    "trajectory",
    "two_time",
    "video",
    "write",
]
