"""Structured pruning: heads, neurons and experts really cut out.

``prune_structured`` does it all; the parts are here for searches: ``find_groups`` (what can go),
``structured_scores`` (once, on the dense model), ``make_plan`` (a budget in whole units),
``choose`` (what stays), ``masked`` (try it without cutting) and ``cut`` (do it).
"""

from neurosparse.pruning.structured.compensate import least_squares, mean_output
from neurosparse.pruning.structured.cut import cut, prune_structured
from neurosparse.pruning.structured.groups import Group, find_groups, keep
from neurosparse.pruning.structured.masks import masked
from neurosparse.pruning.structured.metrics import METRICS
from neurosparse.pruning.structured.plan import Plan, choose, make_plan
from neurosparse.pruning.structured.report import SiteCut, StructuredReport
from neurosparse.pruning.structured.scores import structured_scores

__all__ = [
    "METRICS",
    "Group",
    "Plan",
    "SiteCut",
    "StructuredReport",
    "choose",
    "cut",
    "find_groups",
    "keep",
    "least_squares",
    "make_plan",
    "masked",
    "mean_output",
    "prune_structured",
    "structured_scores",
]
