"""Seconds of an answer on this machine, dense or packed, by budget of tokens."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurosparse import sparse
from neurosparse.measure.video_answers import VideoAsked, Watching, own_tokens
from neurosparse.models.placement import device_of
from neurosparse.video.answer import generate

Floats = NDArray[np.float64]


@contextmanager
def packed(watching: Watching, *, values: str = "bf16") -> Iterator[Watching]:
    """The same with the model as ``sparse.load`` gives it, stored packed in between.

    The scorer is asked for anew and must follow the model: ``make_scorer`` is called by
    :func:`answer_seconds` with what this context yields.
    """
    with tempfile.TemporaryDirectory(prefix="neurosparse-") as folder:
        where = Path(folder) / "packed"
        sparse.save(watching.model, where, values=values)
        model = sparse.load(where, dtype=str(watching.model.dtype).removeprefix("torch."),
                            device=device_of(watching.model))
        yield watching.of(model)


def answer_seconds(watching: Watching, asked: Sequence[VideoAsked], tokens: Sequence[int], *,
                   max_new_tokens: int = 16, repeats: int = 3) -> Floats:
    """Seconds of an answer within each budget, shape (budgets,): the mean over questions.

    Of each step (look: decode, decouple, score, encode; answer: resize, read, say) the least of
    several repeats counts, the first of which warms up.

    Parameters
    ----------
    watching
        Cached scores are not used.
    asked
        Their ``frames`` are called in the time that counts.
    tokens
        Budgets.
    max_new_tokens
        Of an answer.
    repeats
        Of each step.
    """
    plain = replace(watching, cache=None)
    scorer = plain.make_scorer(plain.model)
    found = np.zeros(len(tokens))
    for one in asked:
        looks, says = [], np.full((repeats, len(tokens)), np.inf)
        for turn in range(repeats):
            begin = time.perf_counter()
            looked = plain.look(one, scorer)
            looks.append(time.perf_counter() - begin)
            for row, budget in enumerate(tokens):
                begin = time.perf_counter()
                generate(plain.family, plain.model, plain.processor,
                         plain.prompt(looked, budget), max_new_tokens=max_new_tokens)
                says[turn, row] = time.perf_counter() - begin
        found += min(looks) + says.min(axis=0)
    return found / len(asked)


def dense_seconds(watching: Watching, asked: Sequence[VideoAsked], tokens: int | None = None, *,
                  max_new_tokens: int = 16, repeats: int = 3) -> float:
    """Seconds of an answer with all tokens, without scoring or decoupling."""
    blind = watching.blind()
    total = 0.0
    for one in asked:
        looked = blind.look(one, blind.make_scorer(blind.model))
        full = own_tokens(blind, looked) if tokens is None else tokens
        total += float(answer_seconds(blind, [one], [full], max_new_tokens=max_new_tokens,
                                      repeats=repeats)[0])
    return total / len(asked)
