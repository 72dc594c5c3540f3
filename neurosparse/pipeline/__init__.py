"""The main job, end to end."""

from neurosparse.pipeline.adapt_cost import adapt_cost
from neurosparse.pipeline.adapt_options import AdaptOptions
from neurosparse.pipeline.adapt_step import adapt_step
from neurosparse.pipeline.evaluate import evaluate
from neurosparse.pipeline.generate import Generated, generate
from neurosparse.pipeline.goals import Goal, sparsity_for_goal
from neurosparse.pipeline.job import CompressResult, compress
from neurosparse.pipeline.opening import Opened, open_model
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.pack_step import PackReport, pack_step
from neurosparse.pipeline.plan import Plan, plan
from neurosparse.pipeline.recovery_step import Recovery, RecoveryOptions
from neurosparse.pipeline.rounding import Rounding
from neurosparse.pipeline.search_run import SearchOptions, search_run
from neurosparse.pipeline.steps import (
    StepOptions,
    evidence_wanted,
    profile_step,
    profile_step_cost,
    prune_step,
)
from neurosparse.pipeline.structured_cost import search_cost, structured_cost
from neurosparse.pipeline.structured_step import StructuredOptions, structured_step
from neurosparse.pipeline.values import convert_values
from neurosparse.pipeline.video_calibration import JoinedOptions
from neurosparse.pipeline.video_eval import video_eval
from neurosparse.pipeline.video_joined import video_budget, video_budget_cost
from neurosparse.pipeline.video_prune import video_prune_step
from neurosparse.pipeline.video_session import VideoOptions, VideoSession, token_budget_of
from neurosparse.pipeline.video_step import video_cost, video_step

__all__ = [
    "AdaptOptions",
    "CompressOptions",
    "CompressResult",
    "Generated",
    "Goal",
    "JoinedOptions",
    "Opened",
    "PackReport",
    "Plan",
    "Recovery",
    "RecoveryOptions",
    "Rounding",
    "SearchOptions",
    "StepOptions",
    "StructuredOptions",
    "VideoOptions",
    "VideoSession",
    "adapt_cost",
    "adapt_step",
    "compress",
    "convert_values",
    "evaluate",
    "evidence_wanted",
    "generate",
    "open_model",
    "pack_step",
    "plan",
    "profile_step",
    "profile_step_cost",
    "prune_step",
    "search_cost",
    "search_run",
    "sparsity_for_goal",
    "structured_cost",
    "structured_step",
    "token_budget_of",
    "video_budget",
    "video_budget_cost",
    "video_cost",
    "video_eval",
    "video_prune_step",
    "video_step",
]
