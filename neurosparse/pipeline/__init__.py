"""The main job, end to end."""

from neurosparse.pipeline.evaluate import evaluate
from neurosparse.pipeline.job import CompressResult, compress
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.plan import Plan, plan

__all__ = ["CompressOptions", "CompressResult", "Plan", "compress", "evaluate", "plan"]
