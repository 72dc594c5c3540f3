"""The main job, end to end."""

from neurosparse.pipeline.evaluate import evaluate
from neurosparse.pipeline.goals import Goal, sparsity_for_goal
from neurosparse.pipeline.job import CompressResult, compress
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.plan import Plan, plan
from neurosparse.pipeline.steps import (
    StepOptions,
    evidence_wanted,
    profile_step,
    profile_step_cost,
    prune_step,
)

__all__ = [
    "CompressOptions",
    "CompressResult",
    "Goal",
    "Plan",
    "StepOptions",
    "compress",
    "evaluate",
    "evidence_wanted",
    "plan",
    "profile_step",
    "profile_step_cost",
    "prune_step",
    "sparsity_for_goal",
]
