"""Who scores frames: a model asked yes or no, CLIP and SigLIP, or a user's function."""

from neurosparse.video.scorers.asked import AskedScorer
from neurosparse.video.scorers.dual import DualScorer
from neurosparse.video.scorers.scorer import FunctionScorer, ScoreFunction, Scorer

__all__ = ["AskedScorer", "DualScorer", "FunctionScorer", "ScoreFunction", "Scorer"]
