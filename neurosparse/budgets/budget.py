"""The budget: what each target gives, and its JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neurosparse.budgets.allocator import exact_counts
from neurosparse.errors import BudgetError, FormatError
from neurosparse.files import read_json, write_text

FORMAT = "neurosparse.budget"
VERSION = 1
_MOST = 2**63 - 1
Kind = Literal["sparsity", "heads", "neurons", "experts", "rank", "tokens", "bits"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BudgetTarget(_Strict):
    """One target: module path, parameters, and what it gives (a rate for ``sparsity``)."""

    name: str
    size: int = Field(gt=0)
    value: float


class Rule(_Strict):
    """Which rule decided, with which options, from which profile, and what it found on the way."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    profile_sha256: str | None = None
    notes: dict[str, Any] = Field(default_factory=dict)


class Total(_Strict):
    """The total asked and the total that the targets add up to."""

    asked: float
    kept: float
    weight: str = "parameters"


class ModelIdentity(_Strict):
    """Name of a model and the SHA-256 of its sorted parameter names and shapes."""

    name: str
    sha256: str


class Budget(_Strict):
    """What every target gives, for one kind of thing.

    Values are rates in [0, 1] for ``sparsity``: the share of the target's parameters that goes.
    The file is described in docs/budget-format.md.
    """

    kind: Kind = "sparsity"
    model: ModelIdentity | None = None
    rule: Rule
    total: Total
    targets: list[BudgetTarget]

    @model_validator(mode="after")
    def _consistent(self) -> Budget:
        names = [target.name for target in self.targets]
        if not names or len(set(names)) != len(names):
            raise ValueError("a budget needs targets with different names")
        if sum(target.size for target in self.targets) > _MOST:
            raise ValueError(f"sizes that add up to more than {_MOST}")
        most, means = (1.0, "not in [0, 1]") if self.kind == "sparsity" else (np.inf, "below 0")
        wrong = [t.name for t in self.targets if not 0 <= t.value <= most]
        if wrong:
            raise ValueError(f"the value of {wrong[0]} is {means}")
        # Tokens of frames add up to those of the video; everything else is a mean.
        sums = [self.mean()] + [float(self.rates.sum())] * (self.kind == "tokens")
        kept = self.total.kept
        if not any(abs(one - kept) <= 1e-9 * max(1.0, abs(one)) for one in sums):
            raise ValueError(f"the targets' mean is {sums[0]!r}, not {kept!r}")
        return self

    @property
    def rates(self) -> NDArray[np.float64]:
        """Values, array of shape (targets,)."""
        return np.array([target.value for target in self.targets])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Parameters of the targets, array of shape (targets,)."""
        return np.array([target.size for target in self.targets], np.int64)

    def mean(self) -> float:
        """Mean of the values weighted by size."""
        return float(np.average(self.rates, weights=self.sizes))

    def rate_of(self, name: str) -> float:
        """Value of one target.

        Raises
        ------
        BudgetError
            The budget has no such target.
        """
        for target in self.targets:
            if target.name == name:
                return target.value
        raise BudgetError("look up a rate", found=f"target {name!r}",
                          expected="one of the budget's targets")

    def counts(self) -> dict[str, int]:
        """Entries to take from each target: whole numbers that add up to the rounded total."""
        total = round(self.total.kept * int(self.sizes.sum()))
        counts = exact_counts(self.rates, self.sizes, total)
        return {t.name: int(c) for t, c in zip(self.targets, counts, strict=True)}

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of docs/budget-format.md."""
        return {"format": FORMAT, "version": VERSION, **self.model_dump()}

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all; one target a line."""
        write_text(path, self._text() + "\n")

    def _text(self) -> str:
        whole = self.as_dict()
        targets = whole.pop("targets")
        head = json.dumps(whole, indent=1, ensure_ascii=False)[:-2]
        lines = ",\n  ".join(json.dumps(target, ensure_ascii=False) for target in targets)
        return f'{head},\n "targets": [\n  {lines}]\n}}'

    @classmethod
    def read(cls, path: str | Path, *, kind: Kind | None = None) -> Budget:
        """Read a budget file; ``kind`` picks one where the file holds several.

        Raises
        ------
        InputError
            No such file.
        FormatError
            Not a budget, an unknown version, unknown names, or several budgets and no ``kind``.
        """
        found = read_budgets(path)
        if kind is not None:
            found = [budget for budget in found if budget.kind == kind]
        if len(found) != 1:
            raise FormatError(f"read {path}", found=f"{len(found)} budgets of kind {kind or 'any'}",
                              expected="one", mend="Name the kind.")
        return found[0]


def write_budgets(path: str | Path, budgets: Sequence[Budget]) -> None:
    """Write several budgets into one file, whole or not at all; ``read_budgets`` reads it.

    Raises
    ------
    BudgetError
        No budget, or two of one kind: nobody could name them apart.
    """
    kinds = [budget.kind for budget in budgets]
    if not kinds or len(set(kinds)) != len(kinds):
        raise BudgetError(f"write {path}", found=f"budgets of kinds {kinds}",
                          expected="one or more, each of its own kind")
    text = ",\n".join(budget._text() for budget in budgets)
    write_text(path, f'{{"budgets": [\n{text}\n]}}\n')


def read_budgets(path: str | Path) -> list[Budget]:
    """All budgets of a file: one object, or a list of them under ``budgets``.

    Raises
    ------
    InputError
        No such file.
    FormatError
        Not a budget, an unknown version, or unknown names.
    """
    try:
        raw = read_json(path)
    except RecursionError as error:
        raise FormatError(f"read {path}", found="brackets nested too deeply",
                          expected="the fields of docs/budget-format.md") from error
    objects = raw["budgets"] if isinstance(raw, dict) and set(raw) == {"budgets"} else [raw]
    if not isinstance(objects, list):
        raise FormatError(f"read {path}", found=f'"budgets" with {type(objects).__name__} in it',
                          expected="a list of budgets")
    found = []
    for item in objects:
        if not isinstance(item, dict) or item.get("format") != FORMAT:
            raise FormatError(f"read {path}", found="another kind of file",
                              expected=f'"format": "{FORMAT}"')
        if item.get("version") != VERSION:
            raise FormatError(f"read {path}", found=f"version {item.get('version')!r}",
                              expected=f"version {VERSION}", mend="A newer neurosparse wrote it?")
        fields = {k: v for k, v in item.items() if k not in ("format", "version")}
        try:
            found.append(Budget(**fields))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the budget"
            raise FormatError(f"read {path}", found=f"{where}: {first['msg']}",
                              expected="the fields of docs/budget-format.md") from error
    return found
