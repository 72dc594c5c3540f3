"""Measure a model: profile, perplexity, speed, and the protocol behind every table."""

from neurosparse.measure import protocol
from neurosparse.measure.curves import local_error
from neurosparse.measure.depth import DepthErrors
from neurosparse.measure.perplexity import Perplexity, paired_difference, perplexity
from neurosparse.measure.profile import profile, sizes_only
from neurosparse.measure.timing import GenerationSpeed, generation_speed, python_share

__all__ = [
    "DepthErrors",
    "GenerationSpeed",
    "Perplexity",
    "generation_speed",
    "local_error",
    "paired_difference",
    "perplexity",
    "profile",
    "protocol",
    "python_share",
    "sizes_only",
]
