"""Who scores frames: a model asked yes or no, features by words, CLIP and SigLIP, a function."""

from neurosparse.video.scorers.asked import AskedScorer
from neurosparse.video.scorers.dual import DualScorer
from neurosparse.video.scorers.scorer import (
    FeatureScorer,
    FunctionScorer,
    ScoreFunction,
    Scorer,
)
from neurosparse.video.scorers.words import WordScorer

__all__ = ["AskedScorer", "DualScorer", "FeatureScorer", "FunctionScorer", "ScoreFunction",
           "Scorer", "WordScorer"]
