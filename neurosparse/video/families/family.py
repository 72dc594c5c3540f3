"""What an adapter of a model family says: from frames to features, from features to a sequence.

An adapter patches nothing. It calls the vision part of a model of transformers, leaves the
resizing to :func:`neurosparse.video.resize_tokens`, and puts the rows in the places of the
prompt that the model's own processor would have made for them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurosparse.errors import InputError, ModelError
from neurosparse.video.grids import Grid
from neurosparse.video.processor import VideoProcessor, chat, ids_of

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Features:
    """Frames as the vision part gives them.

    Attributes
    ----------
    grids
        Shape (units, rows, columns, width). A unit is the frames that a model encodes together:
        one, or two neighbours for the Qwen families.
    deep
        More of the same shape, for decoders that add features of several vision layers.
    """

    grids: Tensor
    deep: tuple[Tensor, ...] = ()

    def of(self, units: Sequence[int]) -> Features:
        """Some of the units."""
        places = list(units)
        return Features(self.grids[places], tuple(layer[places] for layer in self.deep))


@dataclass(frozen=True)
class Shown:
    """The units that a model is shown, resized.

    Attributes
    ----------
    rows
        One tensor of shape (height, width, features) or (tokens, features) a unit.
    units
        Numbers of the units, increasing, among ``of`` that were taken from the video.
    times
        Seconds of the units.
    of
        Units taken.
    spacing
        Seconds between neighbouring units as taken.
    duration
        Of the video, seconds.
    deep
        As ``rows``, for each deeper layer.
    """

    rows: Sequence[Tensor]
    units: Sequence[int]
    times: Sequence[float]
    of: int
    spacing: float
    duration: float
    deep: Sequence[Sequence[Tensor]] = field(default_factory=tuple)

    def grids(self, reason: str) -> list[Grid]:
        """Height and width of every unit.

        Raises
        ------
        InputError
            Some are rows of tokens.
        """
        if any(rows.ndim != 3 for rows in self.rows):
            raise InputError("show frames", found="rows of tokens without a grid",
                             expected=f"rectangles: {reason}",
                             mend="Use the resizer bilinear, average or rows-columns.")
        return [(rows.shape[0], rows.shape[1]) for rows in self.rows]

    def counts(self) -> list[int]:
        """Tokens of every unit."""
        return [rows.shape[:-1].numel() for rows in self.rows]


@dataclass(frozen=True)
class Prompt:
    """What a decoder reads.

    Attributes
    ----------
    embeds
        Shape (1, tokens, features).
    positions
        Shape (1, tokens), or (3, 1, tokens) for time, height and width.
    places
        Which tokens are of the video, shape (1, tokens).
    deep
        Rows to add at these places after the first layers, shape (places, features) each.
    """

    embeds: Tensor
    positions: Tensor
    places: Tensor
    deep: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return self.embeds.shape[1]


class Family(ABC):
    """An adapter. A user's own model is a subclass with two methods.

    Attributes
    ----------
    name
        What ``family=`` takes.
    model_types
        ``config.model_type`` of the models it serves.
    """

    name: str = ""
    model_types: tuple[str, ...] = ()

    @abstractmethod
    def encode(self, model: Any, processor: VideoProcessor,
               pictures: Sequence[Picture]) -> Features:
        """Features of some frames before any resizing."""

    @abstractmethod
    def place(self, model: Any, processor: VideoProcessor, shown: Shown) -> tuple[str, Tensor]:
        """The text that stands for the video in the prompt, and the rows for its places.

        The text holds the placeholder token once for every row.
        """

    @property
    def branches(self) -> bool:
        """Whether :meth:`forward` takes a mask of shape (batch, 1, tokens, tokens).

        Models of transformers do; who overrides ``forward`` says so here.
        """
        return type(self).forward is Family.forward

    def unit_frames(self, model: Any) -> int:
        """Neighbouring frames that are encoded together."""
        return 1

    def default_grid(self, model: Any, full: Grid) -> Grid:
        """The grid that the unmodified model makes of a unit whose features have a grid."""
        return full

    def decoder_rows(self, model: Any, grids: Tensor) -> Tensor:
        """Features as the decoder gets them; they are so already but where a model pools first."""
        return grids

    def placeholder(self, model: Any) -> int:
        """Token id of the places for features."""
        return int(model.config.video_token_id)

    def marker(self, model: Any, processor: VideoProcessor) -> str:
        """What stands for the video in the chat template's output."""
        return str(processor.tokenizer.convert_ids_to_tokens(self.placeholder(model)))

    def template(self, processor: VideoProcessor) -> str | None:
        """A chat template in place of the model's own."""
        return None

    def introduction(self, shown: Shown) -> str:
        """Text before the question."""
        return ""

    def positions(self, model: Any, ids: Tensor, shown: Shown) -> Tensor:
        """Positions of the tokens: 0, 1, 2 ... for most."""
        return torch.arange(ids.shape[1]).unsqueeze(0)

    def forward(self, model: Any, prompt: Prompt, **options: Any) -> Any:
        """Run the model on a prompt; options go to it (mask, cache)."""
        return model(inputs_embeds=prompt.embeds, position_ids=prompt.positions, **options)

    def prompt(self, model: Any, processor: VideoProcessor, question: str,
               shown: Shown) -> Prompt:
        """The whole sequence: chat template, video, question.

        Raises
        ------
        InputError
            It is longer than the model's context.
        ModelError
            The places in the prompt are not as many as the rows: tokenizer and model do not
            belong together.
        """
        marker = self.marker(model, processor)
        text = chat(processor, marker, self.introduction(shown) + question,
                    template=self.template(processor))
        if text.count(marker) != 1:
            raise ModelError(f"prompt {self.name}", found=f"{text.count(marker)} places for video",
                             expected="a chat template that gives one")
        standing, rows = self.place(model, processor, shown)
        ids = ids_of(processor, text.replace(marker, standing))
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if context is not None and ids.shape[1] > context:
            raise InputError("ask", found=f"a sequence of {ids.shape[1]} tokens",
                             expected=f"at most {context}, the model's context",
                             mend="Give a smaller token budget or a shorter question.")
        places = ids == self.placeholder(model)
        if int(places.sum()) != len(rows):
            raise ModelError(f"prompt {self.name}",
                             found=f"{int(places.sum())} places for {len(rows)} rows",
                             expected="a tokenizer with the model's placeholder token")
        embedding = model.get_input_embeddings()
        device = embedding.weight.device
        embeds = embedding(ids.to(device))
        places = places.to(device)
        embeds = embeds.masked_scatter(places[..., None], rows.to(device, embeds.dtype))
        deep = tuple(torch.cat([one.flatten(0, -2) for one in layer]).to(device)
                     for layer in shown.deep)
        return Prompt(embeds, self.positions(model, ids, shown).to(device), places, deep)


def flat(rows: Sequence[Tensor]) -> Tensor:
    """All rows one below the other."""
    return torch.cat([one.reshape(-1, one.shape[-1]) for one in rows])


def pooled(output: Any) -> Any:
    """Features out of what ``get_image_features`` returns, in any version of transformers 5."""
    return getattr(output, "pooler_output", output)


def as_grid(features: Tensor) -> Tensor:
    """Square features of shape (units, tokens, width) as (units, rows, columns, width).

    Raises
    ------
    ModelError
        Their number is no square.
    """
    units, tokens, width = features.shape
    side = round(tokens ** 0.5)
    if side * side != tokens:
        raise ModelError("encode frames", found=f"{tokens} features a frame",
                         expected="a square number")
    return features.reshape(units, side, side, width)
