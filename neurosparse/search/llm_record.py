"""What a language-model proposer did: counts for the record of a run."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class LlmRecord:
    """Counts since the run began, also across a kill.

    Attributes
    ----------
    model, temperature, seed
        Of the completion, where it says.
    answers
        Texts that came.
    valid
        Of these, how many fit the schema (the validity rate).
    wanted
        Configurations asked for; each comes ``accepted`` from the model, or as a ``fallback``.
    accepted
        Configurations from the model, those that the projection moved among them.
    repaired
        Accepted ones outside the box or off the mean.
    duplicates
        Configurations refused as known already.
    fallbacks
        Gaussian mutations in place of answers; parents chosen without the model are
        ``chosen_without``.
    lost
        Questions to which no answer came (server dead, timeout).
    refused
        Answers refused, by reason.
    characters
        Of prompts and answers.
    tokens
        Of prompts and answers, of those for which the completion says it.
    """

    model: str | None = None
    temperature: float | None = None
    seed: int | None = None
    answers: int = 0
    valid: int = 0
    wanted: int = 0
    accepted: int = 0
    repaired: int = 0
    duplicates: int = 0
    fallbacks: int = 0
    chosen_without: int = 0
    lost: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    characters: list[int] = field(default_factory=lambda: [0, 0])
    tokens: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def validity(self) -> float:
        """Share of the answers that fit the schema; 0 before the first."""
        return self.valid / self.answers if self.answers else 0.0

    def refuse(self, reason: str) -> None:
        """Count a refusal; numbers in the reason do not make it another one."""
        kind = "".join("#" if c.isdigit() else c for c in reason)
        while "##" in kind:
            kind = kind.replace("##", "#")
        self.refused[kind[:120]] = self.refused.get(kind[:120], 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """JSON, with the validity rate."""
        return {**asdict(self), "validity": self.validity}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> LlmRecord:
        """What ``as_dict`` gave."""
        names = {each.name for each in fields(cls)}
        return cls(**deepcopy({name: value for name, value in kept.items() if name in names}))
