"""Generated videos: many frames of clutter, few that matter, small details, and questions.

A frame is 40 x 40: a coarse background, muted rectangles, and twelve things of 8 x 8, each a colour
and a shape in one of 5 x 5 places. A question asks for a thing that few frames show; all others
show things as conspicuous that are not asked for, so that nobody who does not know the question
knows which frames matter. What is held out is split by a hash: the places where a thing may stand,
and the questions (with their options) that may be asked. Training never sees the held-out fifth.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIDE, THING, THINGS = 40, 8, 12
PLACES = SIDE // THING
COLOURS = {"red": (230, 40, 40), "green": (40, 210, 60), "blue": (50, 80, 240),
           "yellow": (240, 220, 40), "white": (250, 250, 250), "purple": (200, 60, 220)}
SHAPES = ("square", "disc", "cross", "ring", "plus", "bar", "post", "wedge")
KINDS = ("colour", "shape", "count", "order")
MOST = 4
Pictures = NDArray[np.uint8]
Thing = tuple[str, str]


@dataclass(frozen=True)
class Asked:
    """A question about a video.

    Attributes
    ----------
    kind
        One of ``KINDS``.
    question, entities
        And what must be seen to answer it.
    options, answer
        Single words; the right one.
    matter
        Frames that hold what is asked for, shape (frames,).
    """

    kind: str
    question: str
    entities: tuple[str, ...]
    options: tuple[str, ...]
    answer: str
    matter: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """A video, shape (frames, 40, 40, 3), with a question of each kind."""

    pictures: Pictures
    asked: tuple[Asked, ...]


def is_held_out(*what: object) -> bool:
    """Whether a question is of the fifth that training never sees."""
    return zlib.crc32(repr(what).encode()) % 5 == 0


def mask_of(shape: str) -> NDArray[np.bool_]:
    """Pixels of a thing, shape (8, 8)."""
    y, x = np.mgrid[:THING, :THING] - (THING - 1) / 2
    radius, far = np.hypot(x, y), np.maximum(abs(x), abs(y))
    found = {"square": far < 4, "disc": radius < 3.2, "ring": (radius < 4.4) & (radius > 2.4),
             "cross": abs(abs(x) - abs(y)) < 0.9, "plus": np.minimum(abs(x), abs(y)) < 1,
             "bar": abs(y) < 1.6, "post": abs(x) < 1.6, "wedge": x + y > 0.5}[shape]
    return np.asarray(found)


# What is never counted in training: a fifth of the colours and shapes.
_COUNTED_OUT = ("purple", "ring", "post")
_MASKS = {shape: mask_of(shape) for shape in SHAPES}
_ALL = [(colour, shape) for colour in COLOURS for shape in SHAPES]
def places_of(thing: Thing, *, held_out: bool) -> list[int]:
    """Where a thing may stand: for each its own fifth of the places is held out."""
    mixed = sorted(range(PLACES**2), key=lambda place: zlib.crc32(repr((thing, place)).encode()))
    fifth = PLACES**2 // 5
    return mixed[:fifth] if held_out else mixed[fifth:]


_PLACES = {(thing, part): places_of(thing, held_out=part)
           for thing in _ALL for part in (False, True)}


def backgrounds(rng: np.random.Generator, frames: int) -> NDArray[np.float32]:
    """Coarse colours, grain, and four muted rectangles a frame: shape (frames, 40, 40, 3)."""
    coarse = rng.uniform(50, 130, (frames, 4, 4, 3)).astype(np.float32)
    pictures = coarse.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    pictures += 5 * rng.standard_normal((frames, SIDE, SIDE, 1), np.float32)
    corners = rng.integers(0, SIDE - 8, (frames, 4, 2)).tolist()
    sizes = rng.integers(5, 20, (frames, 4, 2)).tolist()
    muted = rng.uniform(40, 150, (frames, 4, 3)).astype(np.float32)
    for picture, starts, extents, colours in zip(pictures, corners, sizes, muted, strict=True):
        for (top, left), (tall, wide), colour in zip(starts, extents, colours, strict=True):
            picture[top : top + tall, left : left + wide] = colour
    return pictures


def draw(rng: np.random.Generator, things: list[list[Thing]], others: list[Thing], *,
         held_out: bool, number: int = THINGS) -> tuple[Pictures, list[dict[int, Thing]]]:
    """Frames with these things and clutter of ``others``, and what stands where in each.

    A thing stands only where its part allows.
    """
    pictures, where = backgrounds(rng, len(things)), []
    fitting = [[one for one in others if place in _PLACES[one, held_out]]
               for place in range(PLACES**2)]
    for picture, some in zip(pictures, things, strict=True):
        taken: dict[int, Thing] = {}
        for thing in some:
            free = [at for at in _PLACES[thing, held_out] if at not in taken]
            taken[free[int(rng.integers(len(free)))]] = thing
        mixed, lots = rng.permutation(PLACES**2).tolist(), rng.random(PLACES**2).tolist()
        for place in mixed:
            if len(taken) < number and place not in taken and fitting[place]:
                taken[place] = fitting[place][int(lots[place] * len(fitting[place]))]
        for place, (colour, shape) in taken.items():
            row, column = THING * (place // PLACES), THING * (place % PLACES)
            picture[row : row + THING, column : column + THING][_MASKS[shape]] = COLOURS[colour]
        where.append(taken)
    return np.clip(pictures, 0, 255).astype(np.uint8), where


def _words(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    return ([str(c) for c in rng.permutation(list(COLOURS))],
            [str(s) for s in rng.permutation(SHAPES)])


def _chosen(rng: np.random.Generator, held_out: bool) -> tuple[list[Thing], str, list[str],
                                                              list[str]]:
    """Things asked for (colour, shape, count, first, last), the word that is counted, options.

    The answer does not decide: a question that training knew only with other answers would be
    learnt never to have this one.
    """
    while True:
        colours, shapes = _words(rng)
        asked, other = shapes[0], shapes[1:3]
        # Counted by its shape, or by its colour.
        counted = shapes[7] if rng.integers(2) else colours[1]
        options = [str(c) for c in rng.permutation(colours[2:])]
        if (is_held_out("colour", asked, sorted(options)) == held_out
                and is_held_out("shape", colours[0], sorted(shapes[3:7])) == held_out
                and (counted in _COUNTED_OUT) == held_out
                and is_held_out("order", *sorted(other)) == held_out):
            break
    number = (colours[1] if counted == colours[1] else str(rng.choice(colours[2:])),
              counted if counted in SHAPES else str(rng.choice(shapes[3:7])))
    first, last = ((str(rng.choice(colours[2:])), shape) for shape in other)
    return ([(options[0], asked), (colours[0], shapes[3]), number, first, last], counted, options,
            shapes[3:7])


def make(rng: np.random.Generator, frames: int, *, held_out: bool = False) -> Scene:
    """One video of 4 frames or more, of the training part or of the held-out part."""
    (found, rare, number, first, last), word, colours, shapes = _chosen(rng, held_out)
    count = int(rng.integers(1, min(MOST, frames - 1) + 1))
    room = np.full(frames, 3)
    things: list[list[Thing]] = [[] for _ in range(frames)]
    # Clutter shows no shape, colour or thing that a question asks for.
    others = [one for one in _ALL if one[1] not in (found[1], first[1], last[1])
              and one[0] != rare[0] and word not in one]

    def put(*some: Thing) -> NDArray[np.bool_]:
        """Things one after the other in time, each in a frame of its own that has room."""
        free = np.flatnonzero(room)
        places = np.sort(rng.permutation(free)[: len(some)])
        for place, thing in zip(places.tolist(), some, strict=True):
            things[place].append(thing)
            room[place] -= 1
        return np.isin(np.arange(frames), places)

    both = 2 if frames >= 8 else 1
    matter = [put(*[number] * count), put(*[found] * 2), put(*[rare] * 2),
              put(*[first] * both, *[last] * both)]
    pictures, _ = draw(rng, things, others, held_out=held_out)
    pair = [str(s) for s in rng.permutation([first[1], last[1]])]

    def mixed(words: list[str]) -> tuple[str, ...]:
        return tuple(str(one) for one in rng.permutation(words))

    return Scene(pictures, (
        Asked("colour", f"which colour is the {found[1]}", (found[1],), mixed(colours),
              found[0], matter[1]),
        Asked("shape", f"which shape is {rare[0]}", (f"{rare[0]} thing",), mixed(shapes),
              rare[1], matter[2]),
        Asked("count", f"how many frames show {'a' if word in SHAPES else 'something'} {word}",
              (word if word in SHAPES else f"{word} thing",),
              mixed([str(n + 1) for n in range(MOST)]),
              str(count), matter[0]),
        Asked("order", f"which is seen first , {pair[0]} or {pair[1]}",
              tuple(pair), mixed(pair), first[1], matter[3])))


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
