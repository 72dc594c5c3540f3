"""One small adapter a family of video models, on the classes of transformers 5."""

from neurosparse.video.families.family import Family, Features, Prompt, Shown
from neurosparse.video.families.registry import FAMILIES, family_of

__all__ = ["FAMILIES", "Family", "Features", "Prompt", "Shown", "family_of"]
