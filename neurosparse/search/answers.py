"""Read what a language model wrote: JSON of one strict form, or a reason to refuse it.

Nothing that a model says is executed; a text is looked through for JSON, and that is all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LONGEST = 100_000
"""Characters of an answer that are looked at."""
_TRIES = 200
_DEEPEST = 4


class Refused(Exception):
    """An answer that cannot be used; the text is the reason, as the model is told it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Configurations(_Strict):
    """``{"configurations": [[...], ...]}``."""

    configurations: list[list[Annotated[float, Field(allow_inf_nan=False)]]] = Field(min_length=1)


class Parents(_Strict):
    """``{"parents": [...]}``."""

    parents: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)


_NAMES = frozenset({*Configurations.model_fields, *Parents.model_fields})
Form = TypeVar("Form", bound=_Strict)


def read_answer(text: Any, form: type[Form]) -> Form:
    """The first JSON object of a form in a text, alone, in a fence, in prose, or in other JSON.

    Parameters
    ----------
    text
        Anything: what a completion returned.
    form
        ``Configurations`` or ``Parents``.

    Raises
    ------
    Refused
        There is none.
    """
    if not isinstance(text, str) or not text.strip():
        raise Refused("it was empty" if isinstance(text, str) else "it was no text")
    name = next(iter(form.model_fields))
    reason = f'it has no JSON object {{"{name}": [...]}}'
    for value in _values(text[:LONGEST]):
        if isinstance(value, str):
            reason = value
            continue
        try:
            return form.model_validate(value)
        except ValidationError as error:
            if name in value:
                reason = _reason(error)
    raise Refused(reason + (f"; it was cut at {LONGEST} characters" if len(text) > LONGEST else ""))


def is_answer(text: str) -> bool:
    """Whether a text holds an object with the key of a form, right or wrong: more is no use."""
    return any(isinstance(value, dict) and not _NAMES.isdisjoint(value)
               for value in _values(text[:LONGEST]))


def _reason(error: ValidationError) -> str:
    first = error.errors()[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"


def _values(text: str) -> Iterator[dict[str, Any] | str]:
    """JSON objects in a text, outer before inner; strings say why something is none."""
    decoder = json.JSONDecoder(parse_constant=_no_number)
    at = text.find("{")
    for _ in range(_TRIES):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            end = at + 1
        except (ValueError, RecursionError) as error:
            yield str(error) if isinstance(error, _NoNumber) else "its JSON cannot be read"
            end = at + 1
        else:
            yield from _objects(value, 0)
        at = text.find("{", end)


class _NoNumber(ValueError):
    pass


def _no_number(name: str) -> NoReturn:
    raise _NoNumber(f"{name} is no number")


def _objects(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner, depth + 1)
