"""What the small model is taught, and the loss of a batch of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from small_model import ORDERS, scoring_text
from small_tower import pixels_of
from small_videos import COLOURS, PLACES, SHAPES, Pictures, Scene, draw
from torch import Tensor
from torch.nn import functional

from neurosparse.video import VideoProcessor, assign_tokens, resize_tokens
from neurosparse.video.ask import with_options
from neurosparse.video.decouple import prompt_for
from neurosparse.video.families.family import as_grid, flat
from neurosparse.video.families.llava_onevision import vision_features
from neurosparse.video.processor import chat
from neurosparse.video.resize import RESIZERS, makes_rectangles
from neurosparse.video.sampling import uniform_indices

FULL = (PLACES, PLACES)


@dataclass(frozen=True)
class View:
    """How the tokens of a video are brought within a budget.

    Attributes
    ----------
    tokens
        The budget.
    scores
        Of the frames, for shares by score; None for even shares.
    resizer
        Of the shares; ``"frames"`` shows whole frames, evenly spaced, and ``"scattered"`` single
        tokens from anywhere, as pruning leaves them.
    seed
        Of what is scattered.
    """

    tokens: int
    scores: NDArray[np.float64] | None = None
    resizer: str = "bilinear"
    seed: int = 0

    def rows(self, grids: Tensor) -> list[Tensor]:
        """Features that are shown, of grids of shape (frames, 5, 5, width)."""
        frames, area = len(grids), FULL[0] * FULL[1]
        if self.resizer == "frames":
            return list(grids[uniform_indices(np.arange(frames), max(1, self.tokens // area))])
        if self.resizer == "scattered":
            drawn = np.random.default_rng(self.seed).permutation(frames * area)[: self.tokens]
            return [grids.flatten(0, 2)[np.sort(drawn)]]
        scores = np.ones(frames) if self.scores is None else self.scores
        given = assign_tokens(scores, self.tokens, full=FULL)
        kept = given.kept.tolist()
        sizes: list[Any] = ([given.grids[at] for at in kept] if makes_rectangles(self.resizer)
                            else given.tokens[kept].tolist())
        return resize_tokens(grids[kept], sizes, method=self.resizer)  # type: ignore[arg-type]


Turn = tuple[str, str, str]
"""Text, answer, and what an early layer must know: the word that a letter stands for."""
_EARLY = 3


@dataclass(frozen=True)
class Lesson:
    """Pictures (or none), how they are shown, and several questions with their answers.

    Every question is learnt as if it were the only one: it sees the video and itself. Only the
    video's tokens are shared, which makes a step several times cheaper.
    """

    pictures: Pictures | None
    view: View | None
    turns: tuple[Turn, ...]


def _offered(rng: np.random.Generator, text: str, answer: str, words: tuple[str, ...]) -> str:
    """A question with four options."""
    others = [str(one) for one in rng.permutation(words) if one != answer][:3]
    return with_options(text, [str(one) for one in rng.permutation([answer, *others])])


def lookup_lessons(rng: np.random.Generator, frames: int, *, options: bool = False
                   ) -> list[Lesson]:
    """Frames with a few things of different shapes: what is where, and is there one at all.

    The word that is looked for stands last, where the answer is given: the attention that finds
    it is learnt within a few hundred steps so, and serves all longer questions afterwards.
    """
    things = []
    for _ in range(frames):
        shapes = [str(s) for s in rng.permutation(SHAPES)[: rng.integers(2, len(SHAPES))]]
        things.append([(str(rng.choice(list(COLOURS))), shape) for shape in shapes])
    pictures, _ = draw(rng, things, [], held_out=False)
    lessons = []
    for picture, some in zip(pictures, things, strict=True):
        colours = [colour for colour, _ in some]
        asked = [(f"which colour is the {shape}", colour, COLOURS) for colour, shape in some[:4]]
        asked += [(f"which shape is {colour}", shape, SHAPES) for colour, shape in some
                  if colours.count(colour) == 1]
        turns = [(_offered(rng, text, answer, tuple(words)) if options else text, answer, answer)
                 for text, answer, words in asked]
        for seen in (True, False):
            pair = some[int(rng.integers(len(some)))]
            if not seen:
                # One with this colour and one with this shape may well be there.
                while pair in some:
                    pair = (str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES)))
            word = "yes" if seen else "no"
            turns.append((f"is there a {pair[0]} {pair[1]}", word, word))
            if seen or pair[0] not in colours:
                turns.append((f"is there something {pair[0]}", word, word))
            if seen or pair[1] not in [shape for _, shape in some]:
                turns.append((f"is there a {pair[1]}", word, word))
        lessons.append(Lesson(picture[None], View(FULL[0] * FULL[1]), tuple(turns)))
    return lessons


def frame_lessons(scene: Scene, rng: np.random.Generator, frames: int, *, letters: bool
                  ) -> list[Lesson]:
    """Single frames: does it matter for each question, and what is asked where it shows it.

    Yes or no is said in the word at first, and as the letter of an option when that is known.
    """
    lessons = []
    for at in rng.permutation(len(scene.pictures))[:frames].tolist():
        turns = []
        for one in scene.asked:
            order = ORDERS[int(rng.integers(2))]
            word, decoupled = "yes" if one.matter[at] else "no", bool(rng.integers(2))
            text = scoring_text(one, order, decoupled=decoupled)
            turns.append((text, "AB"[order.index(word)], word) if letters
                         else (text.split("\n")[0], word, word))
            if one.matter[at] and one.kind in ("colour", "shape"):
                turns.append((one.question, one.answer, one.answer))
        lessons.append(Lesson(scene.pictures[at : at + 1], View(FULL[0] * FULL[1]),
                              tuple(turns)))
    return lessons


def letter_lesson(scene: Scene, rng: np.random.Generator) -> Lesson:
    """Which letter stands for yes: the scoring question with its answer told, and no picture."""
    turns = []
    for one in scene.asked:
        order, word = ORDERS[int(rng.integers(2))], ("yes", "no")[int(rng.integers(2))]
        text = scoring_text(one, order, decoupled=bool(rng.integers(2)))
        letter = "AB"[order.index(word)]
        # At the end first, where it is needed; then where a frame's own answer will be.
        turns += [(f"{text} {word}", letter, word),
                  (text.replace("?\nA.", f"? {word}\nA."), letter, word)]
    return Lesson(None, None, tuple(turns))


def video_lesson(scene: Scene, rng: np.random.Generator, tokens: int) -> Lesson:
    """A whole video, shown in any of the ways in which it may be asked later.

    Good shares, bad shares and even ones, every resizer, whole frames, scattered tokens: no way
    is at an advantage because the model was taught with it alone. Shares are good for one
    question or for all.
    """
    frames, draw = len(scene.pictures), rng.random()
    resizer: str = "bilinear" if rng.integers(2) else str(rng.choice(RESIZERS))
    chosen, scores = list(scene.asked), None
    if draw < 0.6:
        if tokens < 12 * frames:
            chosen = [chosen[int(rng.integers(len(chosen)))]]
        matter = np.any([one.matter for one in chosen], axis=0)
        scores = np.clip(matter + rng.normal(0, rng.uniform(0.05, 0.5), frames), 0.02, 1)
    elif draw < 0.7:
        resizer = "frames"
    elif draw < 0.8:
        resizer = "scattered"
    turns = [(text, one.answer, one.answer) for one in chosen
             for text in (one.question, with_options(one.question, one.options))]
    return Lesson(scene.pictures, View(tokens, scores, resizer, int(rng.integers(1 << 31))),
                  tuple(turns))


def list_lesson(scene: Scene, rng: np.random.Generator) -> Lesson:
    """Decoupling: the list of what must be seen, in the form that is read."""
    one = scene.asked[int(rng.integers(len(scene.asked)))]
    listed = ", ".join(f'"{entity}"' for entity in one.entities)
    answer = f"Step 1: yes Step 3: [{listed}]"
    text = prompt_for(one.question, options=one.options if rng.integers(2) else ())
    return Lesson(None, None, ((text, answer, answer),))


@lru_cache(maxsize=65536)
def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text)["input_ids"])


def _tokens(processor: VideoProcessor, text: str) -> tuple[int, ...]:
    """As ``ask`` writes a question after the video."""
    return _ids(processor.tokenizer, chat(processor, "", text))


@dataclass
class _Row:
    """One sequence: ids (the video's rows are filled in), positions, blocks, wanted answers."""

    ids: list[int]
    positions: list[int]
    blocks: list[int]
    answers: list[tuple[int, int]]
    early: list[tuple[int, int]]


def _row(processor: VideoProcessor, lesson: Lesson, seen: int, image: int) -> _Row:
    row = _Row([image] * seen, list(range(seen)), [0] * seen, [], [])
    end = processor.tokenizer.eos_token_id
    for block, (text, answer, word) in enumerate(lesson.turns, 1):
        asked = _tokens(processor, text)
        said = (*_ids(processor.tokenizer, answer), end)
        start = len(row.ids) + len(asked) - 1
        row.answers += [(start + at, token) for at, token in enumerate(said)]
        known = _ids(processor.tokenizer, word)
        row.early += [(start + at, token) for at, token in enumerate(known)]
        whole = (*asked, *said[:-1])
        row.ids += whole
        row.positions += range(seen, seen + len(whole))
        row.blocks += [block] * len(whole)
    return row


def _visible(rows: list[_Row], length: int) -> Tensor:
    """What each token sees: the video before it, and its own question: a mask to add."""
    blocks = torch.full((len(rows), length), -1)
    for at, row in enumerate(rows):
        blocks[at, : len(row.blocks)] = torch.tensor(row.blocks)
    before = torch.ones(length, length, dtype=torch.bool).tril()
    same = blocks[:, :, None] == blocks[:, None, :]
    seen = before & (same | (blocks[:, None, :] == 0))
    return torch.zeros(len(rows), 1, length, length).masked_fill(~seen[:, None], -1e9)


def loss_of(model: Any, processor: VideoProcessor, batch: list[Lesson]
            ) -> tuple[Tensor, list[list[bool]]]:
    """Mean cross-entropy of all answers and their ends, and which first words are right."""
    grids = _grids(model, batch)
    image = model.config.video_token_id
    newline = model.model.image_newline[None]
    shown = [None if one.view is None else torch.cat([flat(one.view.rows(grids.pop(0))), newline])
             for one in batch]
    rows = [_row(processor, one, 0 if some is None else len(some), image)
            for one, some in zip(batch, shown, strict=True)]
    right: list[list[bool]] = [[] for _ in batch]
    costs, sizes = [torch.zeros(2)], [torch.zeros(2)]
    for members in _buckets([len(row.ids) for row in rows]):
        some = [rows[at] for at in members]
        last, early = _read(model, some, [shown[at] for at in members])
        places, wanted = _targets([row.answers for row in some])
        logits = model.lm_head(last[places[:, 0], places[:, 1]])
        # Words are known early, so that the last layers can go on from there (to a letter, say).
        before, words = _targets([row.early for row in some])
        known = model.lm_head(early[before[:, 0], before[:, 1]])
        costs.append(torch.stack([functional.cross_entropy(logits, wanted, reduction="sum"),
                                  functional.cross_entropy(known, words, reduction="sum")]))
        sizes.append(torch.tensor([len(wanted), len(words)]))
        hits = iter((logits.argmax(-1) == wanted).tolist())
        for at in members:
            for _, answer, _ in batch[at].turns:
                found = [next(hits) for _ in range(len(_ids(processor.tokenizer, answer)) + 1)]
                right[at].append(found[0])
    mean = torch.stack(costs).sum(0) / torch.stack(sizes).sum(0)
    return mean[0] + 0.5 * mean[1], right


def _buckets(lengths: list[int]) -> list[list[int]]:
    """Rows of like lengths, so that little is padded."""
    order = sorted(range(len(lengths)), key=lambda at: lengths[at])
    found: list[list[int]] = []
    for at in order:
        if not found or lengths[at] > 1.3 * lengths[found[-1][0]]:
            found.append([])
        found[-1].append(at)
    return found


def _read(model: Any, rows: list[_Row], shown: list[Tensor | None]) -> tuple[Tensor, Tensor]:
    """States of the last layer and of an early one, shape (rows, tokens, width) each."""
    length = max(len(row.ids) for row in rows)
    ids, positions = torch.zeros(2, len(rows), length, dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)] = torch.tensor(row.ids)
        positions[at, : len(row.ids)] = torch.tensor(row.positions)
    embeds = model.get_input_embeddings()(ids)
    seen = [some for some in shown if some is not None]
    if seen:
        embeds = embeds.masked_scatter((ids == model.config.video_token_id)[..., None],
                                       torch.cat(seen))
    decoder = model.model.language_model
    layers = decoder(inputs_embeds=embeds, position_ids=positions, use_cache=False,
                     attention_mask=_visible(rows, length), output_hidden_states=True
                     ).hidden_states
    return layers[-1], decoder.norm(layers[_EARLY])


def _targets(rows: list[list[tuple[int, int]]]) -> tuple[Tensor, Tensor]:
    """Places (row, token) and the ids that are wanted there."""
    return (torch.tensor([(at, place) for at, row in enumerate(rows) for place, _ in row]),
            torch.tensor([token for row in rows for _, token in row]))


def _grids(model: Any, batch: list[Lesson]) -> list[Tensor]:
    """Projected features of all pictures, a tensor of shape (frames, 5, 5, width) a lesson."""
    seen = [one.pictures for one in batch if one.pictures is not None]
    if not seen:
        return []
    with torch.no_grad():
        features = vision_features(model, pixels_of(np.concatenate(seen)))
    whole = as_grid(model.model.multi_modal_projector(features))
    return list(whole.split([len(pictures) for pictures in seen]))
