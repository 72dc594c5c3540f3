"""Text of users and models, read and passed on as text and as nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

_STRING = re.compile(r"""\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')\s*([,\]])""")


def string_list(text: str, *, most: int = 16, longest: int = 64) -> list[str] | None:
    """The first list of quoted strings in a text, as JSON or Python would write it.

    A grammar of its own: brackets, quoted strings, commas. Nothing is evaluated, and whatever is
    not such a list (a call, a number, a nested list, an open quote) is no list.

    Parameters
    ----------
    text
        Output of a model.
    most, longest
        Items after the first ``most`` are left out, and so are items of more than ``longest``
        characters, empty ones and repetitions.

    Returns
    -------
    list of str, or None
        None where the text holds no list of strings.
    """
    start = text.find("[")
    if start < 0:
        return None
    place = start + 1
    if re.match(r"\s*\]", text[place:]):
        return []
    items: list[str] = []
    while True:
        found = _STRING.match(text, place)
        value = None if found is None else _unquoted(found[1])
        if found is None or value is None:
            return None
        value = " ".join("".join(c if c.isprintable() else " " for c in value).split())
        if value and len(value) <= longest and value not in items:
            items.append(value)
        if found[2] == "]":
            return items[:most]
        place = found.end()


def _unquoted(quoted: str) -> str | None:
    body = quoted[1:-1]
    if quoted[0] == "'":
        body = body.replace("\\'", "'")
        body = re.sub(r'(?<!\\)"', r'\\"', body)
    try:
        value = json.loads(f'"{body}"')
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, str) else None


def quoted(text: str) -> str:
    """A text as one JSON string, which cannot end the place that it stands in."""
    return json.dumps(text, ensure_ascii=False)


def without_special_tokens(text: str, tokenizer: Any) -> str:
    """The text with every special token of a tokenizer taken apart, so that it stays text.

    ``<video>`` in a question would otherwise be a place for a picture, ``<|im_end|>`` the end of
    the user's turn. A space after the first character leaves it readable.

    Parameters
    ----------
    text
        A question, an option, or the output of a model.
    tokenizer
        Of transformers.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {str(token) for token in added} | set(getattr(tokenizer, "all_special_tokens", []))
    # Repeated, as taking one token apart may join the ends of another.
    for _ in range(8):
        before = text
        for token in sorted(special, key=len, reverse=True):
            if len(token) > 1:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        if text == before:
            break
    return text
