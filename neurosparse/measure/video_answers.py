"""What a video model says within budgets of tokens, against the dense model with all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurosparse.measure.operations import Operations, counted
from neurosparse.models import Target
from neurosparse.progress import Progress, silent
from neurosparse.video import AskedScorer, Family, Frames, FunctionScorer, Prompt, VideoProcessor
from neurosparse.video.answer import answer_logs, greedy
from neurosparse.video.decouple import Mode
from neurosparse.video.look import Looked, Sharing, look
from neurosparse.video.scorers import Scorer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class VideoAsked:
    """A question about a video.

    Attributes
    ----------
    video
        Its name: questions of one name are of one video.
    frames
        Gives the frames when they are needed.
    question, options
        As for ``video.ask``.
    answer
        Number of the right option, None where nobody knows.
    """

    video: str
    frames: Callable[[], Frames]
    question: str
    options: tuple[str, ...] = ()
    answer: int | None = None


@dataclass(frozen=True)
class Watching:
    """A model with all that it takes to ask it about videos.

    Attributes
    ----------
    model, family, processor
        The model, its adapter, the halves of its processor.
    make_scorer
        Gives the scorer for a model: asked anew after every change of its weights, which the
        scorer is to follow where it is the model itself.
    sharing, decoupling, batch, cache
        As for ``video.ask``.
    answer_tokens
        Tokens of an answer that are compared, at most.
    """

    model: Any
    family: Family
    processor: VideoProcessor
    make_scorer: Callable[[Any], Scorer]
    sharing: Sharing = field(default_factory=Sharing)
    decoupling: Mode = "entities"
    batch: int = 16
    cache: str | Path | None = None
    answer_tokens: int = 4

    def of(self, model: Any) -> Watching:
        """The same with another model of the same classes."""
        return replace(self, model=model)

    def blind(self) -> Watching:
        """The same without looking for anything: all frames alike."""
        return replace(self, make_scorer=_alike, decoupling="off", cache=None)

    def look(self, asked: VideoAsked, scorer: Scorer) -> Looked:
        """Look at a video for a question."""
        return look(self.family, self.model, self.processor, asked.frames(), asked.question,
                    scorer, decoupling=self.decoupling, options=asked.options, batch=self.batch,
                    cache=self.cache)

    def prompt(self, looked: Looked, tokens: int) -> Prompt:
        """What the model reads within a budget, or with all that there is."""
        return looked.prompt(self.family, self.model, self.processor, min(tokens, looked.most),
                             self.sharing)


def _ones(pictures: Any, question: str) -> Floats:
    return np.ones(len(pictures))


def _alike(model: Any) -> Scorer:
    return FunctionScorer(_ones, "none")


@dataclass(frozen=True)
class Reference:
    """What the dense model says with all tokens.

    Attributes
    ----------
    answer
        Token ids of its greedy answer.
    logs
        Log-probabilities at each of them, shape (tokens of the answer, vocabulary).
    tokens
        With which it was shown the video.
    """

    answer: list[int]
    logs: Tensor
    tokens: int


def references(
    watching: Watching, asked: Sequence[VideoAsked], tokens: int | None = None, *,
    count: bool = False, progress: Progress = silent,
) -> tuple[list[Reference], Operations]:
    """Answers of the dense model with all tokens, evenly shared, and what they cost.

    Parameters
    ----------
    watching
        With the dense model.
    asked
        The questions.
    tokens
        All tokens of a video; those of the model's own grid where None.
    count
        Whether to count operations, which takes some time.
    progress
        Called after each question.
    """
    found, total = [], Operations()
    blind = watching.blind()
    scorer = blind.make_scorer(blind.model)
    for number, one in enumerate(asked):
        with counted(watching.model, ()) if count else nullcontext(Operations()) as spent:
            looked = blind.look(one, scorer)
            full = own_tokens(watching, looked) if tokens is None else min(tokens, looked.most)
            prompt = watching.prompt(looked, full)
            answer = greedy(watching.family, watching.model, watching.processor, prompt,
                            max_new_tokens=watching.answer_tokens)
        total += spent
        logs = answer_logs(watching.family, watching.model, prompt, answer)
        found.append(Reference(answer, logs.cpu(), full))
        progress("reference", number + 1, len(asked))
    return found, total


def own_tokens(watching: Watching, looked: Looked) -> int:
    """Tokens with which the unmodified model would show a video."""
    units, *full = looked.features.grids.shape[:3]
    height, width = watching.family.default_grid(watching.model, (full[0], full[1]))
    return int(units * height * width)


@dataclass(frozen=True)
class Answers:
    """How answers differ from the references, by budget and question.

    Attributes
    ----------
    kl
        ``KL(reference || this)`` summed over the reference's answer, nats, shape (budgets,
        questions).
    loss
        Negative logarithm of the right option's share among the options, NaN where it is unknown.
    right
        Whether the first token said is the right option's, 1 or 0, NaN where it is unknown.
    operations
        Summed over the questions: of what does not depend on the budget, then of each budget;
        empty unless counted.
    """

    kl: Floats
    loss: Floats
    right: Floats
    operations: tuple[Operations, ...] = ()


def answers(
    watching: Watching, asked: Sequence[VideoAsked], said: Sequence[Reference],
    tokens: Sequence[int], *, targets: Sequence[Target] | None = None,
    progress: Progress = silent, label: str = "answers",
) -> Answers:
    """Ask everything within every budget.

    Parameters
    ----------
    watching
        With the model as it is to be judged.
    asked, said
        Questions, and the references' answers to them.
    tokens
        Budgets.
    targets
        Of the model, to count operations; only of a dense one, and without cached scores, which
        would cost nothing. They are not counted where None.
    progress, label
        Called with the label after each question.
    """
    if targets is not None:
        watching = replace(watching, cache=None)
    scorer = watching.make_scorer(watching.model)
    shape = (len(tokens), len(asked))
    kl, loss, right = np.zeros(shape), np.full(shape, np.nan), np.full(shape, np.nan)
    spent = [Operations() for _ in range(len(tokens) + 1)]

    def counting() -> Any:
        return nullcontext(Operations()) if targets is None else counted(watching.model, targets)

    for column, (one, reference) in enumerate(zip(asked, said, strict=True)):
        choices = option_tokens(watching.processor, one.options)
        with counting() as found:
            looked = watching.look(one, scorer)
        spent[0] += found
        for row, budget in enumerate(tokens):
            with counting() as found:
                logs = answer_logs(watching.family, watching.model,
                                   watching.prompt(looked, budget), reference.answer).cpu()
            spent[row + 1] += found
            kl[row, column] = _divergence(reference.logs, logs)
            if one.answer is not None:
                loss[row, column] = _loss(logs[0], choices, one.answer)
                right[row, column] = int(logs[0].argmax()) in choices[one.answer]
        progress(label, column + 1, len(asked))
    return Answers(kl, loss, right, tuple(spent) if targets is not None else ())


def _divergence(reference: Tensor, logs: Tensor) -> float:
    wanted = reference.double()
    return max(0.0, float((wanted.exp() * (wanted - logs.double())).nansum()))


def _loss(logs: Tensor, choices: Sequence[Sequence[int]], answer: int) -> float:
    shares = torch.stack([torch.logsumexp(logs[list(ids)].double(), 0) for ids in choices])
    return float(torch.logsumexp(shares, 0) - shares[answer])


def option_tokens(processor: VideoProcessor, options: Sequence[str]) -> list[list[int]]:
    """Tokens that begin an answer with an option: its letter, and the first token of its text.

    A token that begins two options tells nothing and is left out; so is the text of an option
    whose every token is shared, but never its letter.
    """
    tokenizer = processor.tokenizer
    letters: list[set[int]] = []
    texts: list[set[int]] = []
    for number, option in enumerate(options):
        letter = chr(ord("A") + number)
        letters.append(_first(tokenizer, letter) | _first(tokenizer, f" {letter}"))
        texts.append(_first(tokenizer, option) | _first(tokenizer, f" {option}"))
    every = [one for some in (*letters, *texts) for one in some]
    found = []
    for letter_ids, text_ids in zip(letters, texts, strict=True):
        own = {one for one in letter_ids | text_ids if every.count(one) == 1
               or (one in letter_ids & text_ids and every.count(one) == 2)}
        found.append(sorted(own or letter_ids))
    return found


def _first(tokenizer: Any, text: str) -> set[int]:
    ids = tokenizer.encode(text, add_special_tokens=False)[:1]
    return {one for one in ids if one != tokenizer.unk_token_id}


def calibration_prompts(watching: Watching, asked: Sequence[VideoAsked], tokens: Sequence[int], *,
                        progress: Progress = silent) -> list[Prompt]:
    """What the model reads of these questions, for pruning: answering and scoring.

    Budgets take turns over the questions; where the model scores frames itself, one frame of each
    video is there too, in both orders of the options.
    """
    scorer = watching.make_scorer(watching.model)
    found: list[Prompt] = []
    for number, one in enumerate(asked):
        looked = watching.look(one, scorer)
        found.append(watching.prompt(looked, tokens[number % len(tokens)]))
        if isinstance(scorer, AskedScorer) and scorer.asks(watching.model):
            pictures = one.frames().pictures
            found += scorer.prompts([pictures[number % len(pictures)]], looked.asked)
        progress("calibration", number + 1, len(asked))
    return found
