"""The exact form of an answer: what a completion that can hold its model to one is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

CHARACTERS = frozenset("0123456789,[]} ")
"""All that a form has after its opening."""


@dataclass(frozen=True)
class Form:
    """``{"name": [[1, 2], [3, 4]]}`` or, without ``lists``, ``{"name": [1, 2]}``; whole numbers.

    A small model seldom counts to twelve, or closes what it opened. Held to the form it still
    chooses every number; what it cannot do is write another number of them, or prose.

    Attributes
    ----------
    name
        The one key.
    numbers
        In the list, or in each.
    lists
        How many; 0 where the key holds the numbers themselves.
    digits
        Of a number at most.
    """

    name: str
    numbers: int
    lists: int = 0
    digits: int = 3

    @property
    def opening(self) -> str:
        """How every answer begins."""
        return f'{{"{self.name}": ' + ("[[" if self.lists else "[")

    def fit(self, text: str) -> Literal["open", "whole", "no"]:
        """Whether a text, the opening left out, is an answer, can become one, or cannot."""
        at = 0
        for literal in self._literals():
            begin = at
            while at < len(text) and at - begin < self.digits and text[at] in "0123456789":
                at += 1
            if at - begin > 1 and text[begin] == "0":  # no JSON
                return "no"
            rest = text[at : at + len(literal)]
            if not literal.startswith(rest) or (rest and at == begin):
                return "no"
            if len(rest) < len(literal):
                return "open"
            at += len(literal)
        return "whole" if at == len(text) else "no"

    def _literals(self) -> Iterator[str]:
        """What stands after each number."""
        for left in range(max(self.lists, 1) - 1, -1, -1):
            yield from repeat(", ", self.numbers - 1)
            yield ("], [" if left else "]]}") if self.lists else "]}"

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema, for servers that hold a model to one."""
        row: dict[str, Any] = {"type": "array", "items": {"type": "integer"},
                               "minItems": self.numbers, "maxItems": self.numbers}
        if self.lists:
            row = {"type": "array", "items": row, "minItems": self.lists, "maxItems": self.lists}
        return {"type": "object", "properties": {self.name: row}, "required": [self.name],
                "additionalProperties": False}
