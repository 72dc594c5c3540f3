"""The ``results`` of a run record, checked: whatever is there has the type the page needs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neurosparse.errors import FormatError
from neurosparse.records import RunRecord


class _Loose(BaseModel):
    """Fields that are missing stay out of the page; fields that are new do not disturb it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Row(_Loose):
    """One model that was evaluated: dense, or packed and reloaded."""

    name: str
    perplexity: float | None = None
    perplexity_stderr: float | None = None
    nll_by_window: list[float] | None = None
    bytes: int | None = None
    bytes_what: str = ""
    peak_memory_bytes: int | None = None
    libraries_memory_bytes: int | None = None
    prefill_tokens_per_s: float | None = None
    decode_tokens_per_s: float | None = None
    core_decode_tokens_per_s: float | None = None
    decode_python_share: float | None = None
    decode_bytes: int | None = None
    memory_bytes_per_s: float | None = None
    load_s: float | None = None

    @property
    def packed(self) -> bool:
        """Whether this is the small model, not one to compare it with."""
        return self.name.startswith("packed")


class Size(_Loose):
    """Bytes of one form of the model, and of its blocks' linears alone.

    ``measured``: a file that exists; otherwise counted exactly, without writing it.
    """

    name: str
    bytes: int = Field(gt=0)
    linears_bytes: int | None = Field(default=None, gt=0)
    measured: bool | None = None


class Sparsity(_Loose):
    """Rate asked and kept."""

    asked: float | None = None
    kept: float | None = None


class Paired(_Loose):
    """Sparse less dense over the same windows, nats a token."""

    difference: float
    stderr: float | None = None


class Sample(_Loose):
    """A prompt and the packed model's continuation of it."""

    prompt: str = ""
    text: str = ""


class Results(_Loose):
    """The table of the main job and what belongs to it."""

    model: str | None = None
    sparsity: Sparsity = Field(default_factory=Sparsity)
    method: str | None = None
    rule: dict[str, Any] = Field(default_factory=dict)
    text: dict[str, dict[str, Any]] = Field(default_factory=dict)
    search: dict[str, Any] | None = None
    rows: list[Row] = Field(default_factory=list)
    sizes: list[Size] = Field(default_factory=list)
    paired: Paired | None = None
    loop: str | None = None
    sample: Sample | None = None
    notes: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, run: RunRecord, where: str = "run.json") -> Results:
        """The results of a run.

        Raises
        ------
        FormatError
            A field is of the wrong type.
        """
        try:
            return cls.model_validate(run.results)
        except ValidationError as error:
            raise FormatError(f"read {where}", found="results." + first_fault(error),
                              expected="the results of neurosparse compress") from error

    def pair(self) -> tuple[Row, Row] | None:
        """The dense and the packed row measured on the same windows, if both are there."""
        measured = [row for row in self.rows if row.nll_by_window]
        dense = [row for row in measured if not row.packed]
        packed = [row for row in measured if row.packed]
        if not dense or not packed:
            return None
        first, second = dense[0], packed[0]
        same = len(first.nll_by_window or ()) == len(second.nll_by_window or ())
        return (first, second) if same else None


def first_fault(error: ValidationError) -> str:
    """Where and what the first fault of a validation is."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"]) or "the whole"
    return f"{where}: {fault['msg']}"
