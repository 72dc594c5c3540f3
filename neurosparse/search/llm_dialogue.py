"""Ask a language model, read, refuse with the reason, ask again; never more than some times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import NeurosparseError
from neurosparse.search.answers import Configurations, Parents, Refused, read_answer
from neurosparse.search.form import Form
from neurosparse.search.llm_record import LlmRecord
from neurosparse.search.patience import Patient
from neurosparse.search.prompts import Prompts
from neurosparse.search.prompts.describe import Description

Floats = NDArray[np.float64]
Found = TypeVar("Found")
NEAR = 1e-3
"""Configurations nearer than this (in widths of the box) are duplicates."""
_LOSSES = 3
"""Questions without an answer, one after the other, after which a server is taken for dead."""


class Dialogue:
    """Questions to one completion, and the record of them.

    Parameters
    ----------
    complete
        Raises ``NeurosparseError`` where no answer comes.
    prompts
        Templates.
    description
        Of the space.
    retries
        Second questions about one prompt.
    """

    def __init__(self, complete: Patient, prompts: Prompts, description: Description,
                 retries: int) -> None:
        self.complete, self.prompts, self.description = complete, prompts, description
        self.retries = retries
        inner = complete.complete
        self.record = LlmRecord(model=_as(str, getattr(inner, "model", None)),
                                temperature=_as(float, getattr(inner, "temperature", None)),
                                seed=_as(int, getattr(inner, "seed", None)))
        self._losses = 0

    def configurations(self, prompt: str, fields: Mapping[str, object], count: int,
                       known: Sequence[Floats], seen: Sequence[Floats]) -> list[Floats]:
        """At most ``count`` new configurations, projected; fewer where the model gives no more.

        Parameters
        ----------
        known
            Those that are not new.
        seen
            Those that the prompt shows, of which the answer is a change.
        """
        found: list[Floats] = []
        places = len(self.description)
        digits = len(str(self.description.fields()["upper"]).split(".")[0])

        def read(text: Any) -> bool:
            found.extend(self._read(text, count - len(found), [*known, *found], seen))
            return len(found) == count

        def question() -> tuple[str, Form]:
            left = count - len(found)
            said = (f'Answer with one JSON object and nothing else: {{"configurations": [[...], '
                    f"...]}} with {left} list{'s' if left > 1 else ''} of {places} numbers each.")
            # A completion with a seed would answer the same question in the same words.
            said += f" (Question {_letters(len(known) + len(found))}.)"
            return (self.prompts.fill(prompt, {**fields, "count": left, "format": said}),
                    Form("configurations", places, left, digits))

        self._until(question, read)
        self.record.accepted += len(found)
        return found

    def parents(self, fields: Mapping[str, object], shown: int, count: int) -> list[int] | None:
        """Ids of ``count`` different ones among ``shown``; None where the model chooses none."""
        chosen: list[int] = []

        def read(text: Any) -> bool:
            ids = list(dict.fromkeys(read_answer(text, Parents).parents))
            beyond = [i for i in ids if i >= shown]
            if beyond or len(ids) < count:
                raise Refused(f"id {str(beyond[0])[:20]} does not exist" if beyond
                              else f"it chose {len(ids)} different ids, not {count}")
            self.record.valid += 1
            chosen.extend(ids[:count])
            return True

        form = Form("parents", count, digits=len(str(shown - 1)))
        self._until(lambda: (self.prompts.fill("selection", {**fields, "format": ""}), form), read)
        return chosen or None

    def _until(self, question: Callable[[], tuple[str, Form]], read: Callable[[Any], bool]) -> None:
        """Ask until ``read`` is content, at most 1 + retries times."""
        reason = ""
        for _ in range(1 + self.retries):
            prompt, form = question()
            if reason:
                prompt = self.prompts.fill("again", {"prompt": prompt, "reason": reason})
            if self._losses >= _LOSSES:
                return
            try:
                text = self._answer(prompt, form)
            except NeurosparseError:
                # Patient has waited and tried already: the rest of this batch is mutation's.
                self.record.lost += 1
                self._losses += 1
                return
            self._losses = 0
            try:
                if read(text):
                    return
                reason = "it had too few new configurations"
            except Refused as refusal:
                reason = str(refusal)
                self.record.refuse(reason)

    def _answer(self, prompt: str, form: Form) -> Any:
        self.record.characters[0] += len(prompt)
        text = self.complete(prompt, form)
        self.record.answers += 1
        if isinstance(text, str):
            self.record.characters[1] += len(text)
        usage = getattr(self.complete.complete, "last_usage", None)
        if usage is not None:
            self.record.tokens[0] += int(usage[0])
            self.record.tokens[1] += int(usage[1])
        return text

    def _read(self, text: Any, count: int, known: list[Floats], seen: Sequence[Floats]
              ) -> list[Floats]:
        """Up to ``count`` new ones of an answer; refused if none is of the right form."""
        space, places = self.description.space, len(self.description)
        rows = read_answer(text, Configurations).configurations
        right = [row for row in rows if len(row) == places]
        if len(right) == len(rows):
            self.record.valid += 1
        if not right:
            raise Refused(f"a configuration has {len(rows[0])} numbers, not {places}")
        found: list[Floats] = []
        for row in right:
            meant = self.description.meant(row, seen)
            values = space.project(meant)
            if any(space.distance(values, other) < NEAR for other in (*known, *found)):
                self.record.duplicates += 1
                continue
            self.record.repaired += space.distance(values, meant) > NEAR
            found.append(values)
            if len(found) == count:
                break
        return found


def _letters(number: int) -> str:
    """``a`` to ``z``, ``ba`` ...: a small model takes a numeral there for one of its numbers."""
    rest, last = divmod(number, 26)
    return (_letters(rest) if rest else "") + "abcdefghijklmnopqrstuvwxyz"[last]


def _as(kind: Callable[[Any], Found], value: Any) -> Found | None:
    """A value that JSON can hold, or None."""
    try:
        return None if value is None else kind(value)
    except (TypeError, ValueError):
        return None
