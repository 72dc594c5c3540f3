"""Structured pruning: heads, neurons and experts really cut out.

``prune_structured`` does it all; the parts are here for searches: ``find_groups`` (what can go),
``structured_scores`` (once, on the dense model), ``make_plan`` (a budget in whole units),
``choose`` (what stays), ``masked`` (try it without cutting), ``make_ladders`` and ``solved`` (the
same with the output weights solved again) and ``cut`` (do it).
"""

from neurosparse.pruning.structured.compensate import few_tokens, least_squares, mean_output
from neurosparse.pruning.structured.cut import cut, prune_structured
from neurosparse.pruning.structured.groups import Group, check_room, check_units, find_groups, keep
from neurosparse.pruning.structured.ladder import Ladder, has_ladder, make_ladders, solved
from neurosparse.pruning.structured.masks import masked
from neurosparse.pruning.structured.metrics import METRICS
from neurosparse.pruning.structured.plan import Plan, choose, make_plan
from neurosparse.pruning.structured.report import SiteCut, StructuredReport
from neurosparse.pruning.structured.scores import structured_scores
from neurosparse.pruning.structured.whole_blocks import (
    block_influence,
    check_droppable,
    drop_blocks,
    least_influence,
)

__all__ = [
    "METRICS",
    "Group",
    "Ladder",
    "Plan",
    "SiteCut",
    "StructuredReport",
    "block_influence",
    "check_droppable",
    "check_room",
    "check_units",
    "choose",
    "cut",
    "drop_blocks",
    "few_tokens",
    "find_groups",
    "has_ladder",
    "keep",
    "least_influence",
    "least_squares",
    "make_ladders",
    "make_plan",
    "masked",
    "mean_output",
    "prune_structured",
    "solved",
    "structured_scores",
]
