"""Video models within a budget of tokens that follows the question (QuoTA, arXiv 2503.08689).

``ask`` does all of it; each step is a function of its own: ``sample_frames``, ``decouple``,
``score_frames``, ``assign_tokens``, ``resize_tokens``.
"""

from __future__ import annotations

from neurosparse.video.answer import completer, generate
from neurosparse.video.ask import Answer, ask, show
from neurosparse.video.assign import Assignment, assign_tokens
from neurosparse.video.coarse import score_coarse_to_fine
from neurosparse.video.decouple import Decoupled, decouple
from neurosparse.video.families import FAMILIES, Family, Features, Prompt, Shown, family_of
from neurosparse.video.frames import Frames, read_frames, sample_frames
from neurosparse.video.grids import best_grid, fit_grids
from neurosparse.video.index import VideoIndex, index_video
from neurosparse.video.llava_video_checkpoint import convert_llava_video
from neurosparse.video.merge import merge_rows_and_columns, merge_tokens
from neurosparse.video.planted import break_even, planted_accuracy
from neurosparse.video.processor import VideoProcessor, load_processor
from neurosparse.video.reading import reading
from neurosparse.video.resize import RESIZERS, resize_tokens
from neurosparse.video.sampling import frame_count, uniform_indices
from neurosparse.video.score import FrameScores, score_frames
from neurosparse.video.scorers import (
    AskedScorer,
    DualScorer,
    FeatureScorer,
    FunctionScorer,
    Scorer,
    WordScorer,
)
from neurosparse.video.select import adaptive_keyframes, diverse_frames
from neurosparse.video.units import encode_frames
from neurosparse.video.weights import agreement, weights_of

__all__ = [
    "FAMILIES",
    "RESIZERS",
    "Answer",
    "AskedScorer",
    "Assignment",
    "Decoupled",
    "DualScorer",
    "Family",
    "FeatureScorer",
    "Features",
    "FrameScores",
    "Frames",
    "FunctionScorer",
    "Prompt",
    "Scorer",
    "Shown",
    "VideoIndex",
    "VideoProcessor",
    "WordScorer",
    "adaptive_keyframes",
    "agreement",
    "ask",
    "assign_tokens",
    "best_grid",
    "break_even",
    "completer",
    "convert_llava_video",
    "decouple",
    "diverse_frames",
    "encode_frames",
    "family_of",
    "fit_grids",
    "frame_count",
    "generate",
    "index_video",
    "load_processor",
    "merge_rows_and_columns",
    "merge_tokens",
    "planted_accuracy",
    "read_frames",
    "reading",
    "resize_tokens",
    "sample_frames",
    "score_coarse_to_fine",
    "score_frames",
    "show",
    "uniform_indices",
    "weights_of",
]
