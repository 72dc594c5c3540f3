"""Show what a run did: one HTML page, and its figures by themselves. From files alone, no torch."""

from neurosparse.report.figure_curves import curves
from neurosparse.report.figure_depth import depth
from neurosparse.report.figure_perplexity import perplexity
from neurosparse.report.figure_rates import rates
from neurosparse.report.page import write

__all__ = ["curves", "depth", "perplexity", "rates", "write"]
