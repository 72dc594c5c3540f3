"""Generated videos: many frames of clutter, few that matter, small details, and questions.

A frame is 56 x 56: a coarse background, muted rectangles, and in few frames a thing of 10 x 10, one
of 24 (colour and shape). Which things are where, and which are asked for, is split by a hash:
places and questions of the held-out fifth are never in training.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIDE, THING = 56, 10
COLOURS = {"red": (230, 40, 40), "green": (40, 210, 60), "blue": (50, 80, 240),
           "yellow": (240, 220, 40), "white": (250, 250, 250), "purple": (200, 60, 220)}
SHAPES = ("square", "disc", "cross", "ring")
KINDS = ("colour", "shape", "count", "order")
Pictures = NDArray[np.uint8]
Thing = tuple[str, str]


@dataclass(frozen=True)
class Sample:
    """A video with a question.

    Attributes
    ----------
    pictures
        Shape (frames, 56, 56, 3).
    question, entities
        And what must be seen to answer it.
    options, answer
        Single words; the right one.
    matter
        Frames that hold what is asked for, shape (frames,).
    kind
        One of ``KINDS``.
    """

    pictures: Pictures
    question: str
    entities: tuple[str, ...]
    options: tuple[str, ...]
    answer: str
    matter: NDArray[np.bool_]
    kind: str


def is_held_out(*what: object) -> bool:
    """Whether a place or a question is of the fifth that training never sees."""
    return zlib.crc32(repr(what).encode()) % 5 == 0


def mask_of(shape: str) -> NDArray[np.bool_]:
    """Pixels of a thing, shape (10, 10)."""
    y, x = np.mgrid[:THING, :THING] - (THING - 1) / 2
    radius = np.hypot(x, y)
    if shape == "square":
        return np.asarray(np.maximum(abs(x), abs(y)) < 4)
    if shape == "disc":
        return np.asarray(radius < 4.6)
    if shape == "cross":
        return np.asarray(np.minimum(abs(x), abs(y)) < 1.6)
    return np.asarray((radius < 5) & (radius > 2.6))


def draw(rng: np.random.Generator, thing: Thing | None, *, held_out: bool) -> Pictures:
    """One frame, with or without a thing."""
    coarse = rng.uniform(50, 130, (4, 4, 3))
    picture = np.kron(coarse, np.ones((SIDE // 4, SIDE // 4, 1)))
    picture += rng.normal(0, 5, (SIDE, SIDE, 1))
    for _ in range(4):
        top, left, tall, wide = (*rng.integers(0, SIDE - 8, 2), *rng.integers(5, 20, 2))
        picture[top : top + tall, left : left + wide] = rng.uniform(40, 150, 3)
    if thing is not None:
        while True:
            top, left = (int(n) for n in rng.integers(0, (SIDE - THING) // 2, 2) * 2)
            if is_held_out(*thing, top // 8, left // 8) == held_out:
                break
        where = picture[top : top + THING, left : left + THING]
        where[mask_of(thing[1])] = COLOURS[thing[0]]
    return np.clip(picture, 0, 255).astype(np.uint8)


def make(rng: np.random.Generator, frames: int, *, kind: str | None = None,
         held_out: bool = False) -> Sample:
    """One video with a question, of the training part or of the held-out part."""
    chosen = kind or str(rng.choice(KINDS))
    while True:
        colours = [str(c) for c in rng.permutation(list(COLOURS))]
        shapes = [str(s) for s in rng.permutation(SHAPES)]
        if is_held_out(chosen, colours[0], shapes[0]) == held_out:
            break
    asked, other = (colours[0], shapes[0]), (colours[1], shapes[1])
    count = int(rng.integers(1, 5)) if chosen == "count" else 2
    count = min(count, frames - 2)
    places = rng.permutation(frames)
    things: dict[int, Thing] = {int(p): asked for p in places[:count]}
    if chosen == "order":
        # The first is seen before the second: all of its frames are.
        ordered = sorted(int(p) for p in places[:4])
        things = {p: asked if at < 2 else other for at, p in enumerate(ordered)}
    else:
        things |= {int(p): other for p in places[count : count + 2]}
    pictures = np.stack([draw(rng, things.get(at), held_out=held_out) for at in range(frames)])
    entities = {"colour": (asked[1],), "shape": (f"{asked[0]} thing",),
                "count": (f"{asked[0]} {asked[1]}",),
                "order": (f"{asked[0]} thing", f"{other[0]} thing")}[chosen]
    matter = np.array([things.get(at) == asked or (chosen == "order" and at in things)
                       for at in range(frames)])
    return Sample(pictures, *_words(rng, chosen, asked, other, count, colours, entities), matter,
                  chosen)


def _words(rng: np.random.Generator, kind: str, asked: Thing, other: Thing, count: int,
           colours: list[str], entities: tuple[str, ...]
           ) -> tuple[str, tuple[str, ...], tuple[str, ...], str]:
    """Question, entities, options and answer."""
    if kind == "colour":
        question, answer = f"what colour is the {asked[1]} ?", asked[0]
        options = [asked[0], other[0], *colours[2:4]]
    elif kind == "shape":
        question, answer = f"what is the {asked[0]} thing ?", asked[1]
        options = list(SHAPES)
    elif kind == "count":
        question, answer = f"how many frames show a {asked[0]} {asked[1]} ?", str(count)
        options = ["1", "2", "3", "4"]
    else:
        pair = [str(c) for c in rng.permutation([asked[0], other[0]])]
        question = f"which colour is seen first , {pair[0]} or {pair[1]} ?"
        options, answer = pair, asked[0]
    return question, entities, tuple(str(o) for o in rng.permutation(options)), answer


def write_clip(path: Path, pictures: Pictures, rate: int = 2) -> None:
    """Write a video without loss, so that small details stay."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=rate, options={"crf": "0"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "rgb24"
        for at, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
