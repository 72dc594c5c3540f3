"""A language model of transformers in memory as a completion for ``search``'s prompts."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence
from typing import Any

from neurosparse.models import LoadedModel, context_of
from neurosparse.pipeline.generate import Guide, encode, generate
from neurosparse.pipeline.kept_loop import KeptLoop
from neurosparse.search.answers import is_answer
from neurosparse.search.form import CHARACTERS, Form

_PAGE = 1024
"""The kept loop holds a multiple of so many tokens: seldom is a prompt too long for it."""


class LocalCompletion:
    """``complete(prompt, form) -> str`` by sampling; the same prompt gives the same answer.

    The fastest loop of the model is made at the first prompt and kept: its weights are copied
    once, and anew only when the model has begun to answer otherwise. Under ``search`` the model
    that is asked is dense: a configuration is tried under masks that are gone before the next
    question.

    Parameters
    ----------
    loaded
        The model that is asked, with its tokenizer; "self" where it is the one that is pruned.
    name
        Of the model, for the record.
    temperature, seed
        Of sampling; 0 takes the likeliest token.
    max_tokens
        Where an answer is cut.
    shaped
        Draw only tokens that keep the answer to its form; all numbers remain the model's. Without
        it, and where the vocabulary lacks a character of the form, the model writes what it likes,
        until the first object with the name of a form is whole.

    Attributes
    ----------
    last_usage
        Tokens of the last prompt and of its answer.
    """

    def __init__(self, loaded: LoadedModel, name: str, *, temperature: float = 0.7, seed: int = 0,
                 max_tokens: int = 512, shaped: bool = True) -> None:
        self.loaded, self.model = loaded, name
        self.temperature, self.seed, self.max_tokens = temperature, seed, max_tokens
        self.shaped = shaped
        self.last_usage: tuple[int, int] | None = None
        self._one = threading.Lock()  # Patient may leave a call behind, and the loop has one cache
        self._loop: KeptLoop | None = None
        self._plain: dict[int, str] | None = None

    def __call__(self, prompt: str, form: Form | None = None) -> str:
        """One answer to one user message.

        Raises
        ------
        InputError
            The prompt leaves no room in the model's context.
        """
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        form = form if self.shaped and CHARACTERS.issubset(self._spelt().values()) else None
        opening = "" if form is None else form.opening
        # Its own stream for every prompt: a resumed search asks the same and hears the same.
        digest = hashlib.sha256(f"{self.seed}\0{prompt}".encode()).digest()
        length = encode(tokenizer, prompt).shape[1] + len(opening) + self.max_tokens
        with self._one:
            found = generate(model, tokenizer, prompt, loop=self._loop_for(length),
                             opening=opening, max_new_tokens=self.max_tokens,
                             temperature=self.temperature,
                             seed=int.from_bytes(digest[:7], "little"),
                             guide=self._until_whole if form is None else self._within(form))
        self.last_usage = (found.prompt_tokens, found.tokens)
        return opening + found.text

    def _loop_for(self, length: int) -> KeptLoop:
        """The kept one, or another where it is too short or the model is no longer the same."""
        length = min(length, context_of(self.loaded.model) or length)  # more is refused later
        if self._loop is None or length > self._loop.positions or not self._loop.current():
            self._loop = None  # its memory first
            self._loop = KeptLoop(self.loaded.model, -(-length // _PAGE) * _PAGE)
        return self._loop

    def _until_whole(self, tokens: Sequence[int]) -> Sequence[int] | None:
        """Anything, until there is an object with the name of a form."""
        tokenizer: Any = self.loaded.tokenizer
        if tokens and "}" in tokenizer.decode(tokens[-1:]) and is_answer(tokenizer.decode(tokens)):
            return []
        return None

    def _within(self, form: Form) -> Guide:
        """Tokens that keep to a form, after those that are written."""
        spelt = self._spelt()

        def allowed(tokens: Sequence[int]) -> Sequence[int]:
            text = "".join(spelt[token] for token in tokens)
            if form.fit(text) == "whole":
                return []
            return [number for number, more in spelt.items() if form.fit(text + more) != "no"]

        return allowed

    def _spelt(self) -> dict[int, str]:
        """Tokens of a form's characters, and how they are spelt."""
        if self._plain is None:
            vocabulary = self.loaded.tokenizer.get_vocab() if self.loaded.tokenizer else {}
            spelt = {number: re.sub("[Ġ▁]", " ", token) for token, number in vocabulary.items()}
            self._plain = {number: text for number, text in sorted(spelt.items())
                           if text and CHARACTERS.issuperset(text)}
        return self._plain
