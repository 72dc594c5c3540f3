"""What a scorer is, and scorers made of a user's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.video.decouple import Decoupled
from neurosparse.video.families import Family, Features

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
ScoreFunction = Callable[[Sequence[Picture], str], ArrayLike]


@runtime_checkable
class Scorer(Protocol):
    """Scores frames for a question.

    Attributes
    ----------
    name
        Tells one scorer, with all its settings, from another: the cache goes by it.
    scaled
        Whether its readings are relevances in [0, 1] as they are; else they are scaled to the
        span that they have over one video.

    A scorer whose readings differ in two ways (wordings and orders, say) may have a ``layout``
    (first, second) that says so; their product is the number of readings, the second runs first.
    """

    @property
    def name(self) -> str: ...

    @property
    def scaled(self) -> bool: ...

    def read(self, pictures: Sequence[Picture], asked: Decoupled) -> Floats:
        """Readings of a batch of frames, shape (readings, frames); NaN where it has no answer."""
        ...


@runtime_checkable
class FeatureScorer(Scorer, Protocol):
    """A scorer that can be given the features which the answer is made from."""

    def reads_features(self, model: Any, family: Family) -> bool:
        """Whether features of this model are of use to it."""
        ...

    def read_features(self, features: Features, asked: Decoupled) -> Floats:
        """As ``read``, of frames that are encoded already."""
        ...


@dataclass(frozen=True)
class FunctionScorer:
    """A user's ``function(pictures, question)``, which gives one number a frame.

    Attributes
    ----------
    function
        Takes RGB arrays of shape (height, width, 3) and the user's question.
    name
        For the cache: change it when the function changes.
    scaled
        As for :class:`Scorer`.
    """

    function: ScoreFunction
    name: str
    scaled: bool = True

    def read(self, pictures: Sequence[Picture], asked: Decoupled) -> Floats:
        """One reading.

        Raises
        ------
        InputError
            Not one number a frame.
        """
        found = np.asarray(self.function(pictures, asked.question), float)
        if found.shape != (len(pictures),):
            raise InputError(f"score frames by {self.name}", found=f"shape {found.shape}",
                             expected=f"({len(pictures)},), one number a frame")
        return found[None]
