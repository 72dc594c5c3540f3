"""The prompts, one text file each; a folder of the user's own may replace any of them.

A template names its fields as ``$field`` (``string.Template``): braces belong to JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from string import Template

from neurosparse.errors import FormatError, InputError

_COMMON = frozenset({"task", "units", "numbers", "parts", "meaning", "lower", "upper", "mean",
                     "count", "format", "start"})
_PARENTS = frozenset({"population", "fitness"})
FIELDS: dict[str, frozenset[str]] = {
    "population": _COMMON,
    "selection": _COMMON | _PARENTS,
    "crossover": _COMMON | _PARENTS,
    "mutation": _COMMON | _PARENTS,
    "again": frozenset({"prompt", "reason"}),
}
"""What each template may name."""


@dataclass(frozen=True)
class Prompts:
    """Texts of the four operators and of the second question.

    Attributes
    ----------
    population, selection, crossover, mutation
        Self-Pruner's steps.
    again
        Around a prompt whose answer was refused.

    Raises
    ------
    FormatError
        A template names a field that does not exist.
    """

    population: str
    selection: str
    crossover: str
    mutation: str
    again: str

    def __post_init__(self) -> None:
        for each in fields(self):
            template = Template(getattr(self, each.name))
            wrong = set(template.get_identifiers()) - FIELDS[each.name]
            if wrong or not template.is_valid():
                raise FormatError(f"read the prompt {each.name!r}",
                                  found=f"fields {sorted(wrong)}" if wrong else "a lone $",
                                  expected=f"some of {sorted(FIELDS[each.name])}, a dollar as $$")

    def fill(self, name: str, values: Mapping[str, object]) -> str:
        """One prompt with its fields filled in."""
        return Template(getattr(self, name)).substitute(
            {key: str(value) for key, value in values.items()})


def read_prompts(folder: str | Path | None = None) -> Prompts:
    """Read ``population.txt``, ``selection.txt`` ...; what a folder lacks is ours.

    Raises
    ------
    InputError
        No such folder, or nothing in it has the name of a prompt.
    FormatError
        A template names a field that does not exist.
    """
    ours = Path(__file__).parent
    texts = {name: (ours / f"{name}.txt").read_text(encoding="utf-8") for name in FIELDS}
    if folder is not None:
        found = {name: Path(folder) / f"{name}.txt" for name in FIELDS}
        theirs = {name: path for name, path in found.items() if path.is_file()}
        if not theirs:
            raise InputError(f"read prompts from {folder}", found="none of the files",
                             expected="one or more of " + ", ".join(f"{n}.txt" for n in FIELDS))
        texts |= {name: path.read_text(encoding="utf-8") for name, path in theirs.items()}
    return Prompts(**texts)
