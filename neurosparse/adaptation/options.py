"""What a run of gradual pruning and learning, or of learning alone, is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from neurosparse.adaptation.training import TrainOptions
from neurosparse.errors import InputError

RANKS = ("error", "damage", "equal")
UPDATES = ("low-rank", "values")
UNPRUNED: dict[str, Any] = {"sparsity": None, "steps": 1, "ranks": "equal"}
"""Fields of a run that prunes nothing."""


@dataclass(frozen=True)
class LosaOptions:
    """Options of ``losa``, and of ``recover``, which prunes nothing.

    Attributes
    ----------
    sparsity
        Share of the parameters of the blocks' linears that is gone at the end; None prunes
        nothing: what is zero stays zero, the rest learns.
    steps
        Prunings, along the cubic schedule; 1 prunes once and then learns.
    rule, rule_options
        Who gives how much: a rule of ``budgets``. ``representation`` (LoSA's) is measured anew at
        every step, others once, on the model as it came.
    method, pattern, refit
        As in ``pruning.prune``. With a pattern N:M every step's linears are n:M.
    regrow
        Let a step choose among all weights again, those that are gone as they were in the model as
        it came (which is kept for it). By default masks are nested: what is gone stays gone.
    update
        ``"low-rank"``: masked LoRA; ``"values"``: the kept weights themselves.
    ranks
        Ranks of the blocks: by their reconstruction ``"error"`` (LoSA), by the ``"damage"`` in
        nats that restoring their weights would undo (rule ``propagation``), or ``"equal"``.
    rank, most
        Mean rank at the last step, one less at each before it; greatest rank.
    scale, dropout
        alpha / r; on the update's input.
    windows
        Calibration windows.
    batch_size
        Of passes that do not learn.
    every
        Optimiser steps between checkpoints.
    train
        How it learns.

    Raises
    ------
    InputError
        A value is out of its range.
    """

    sparsity: float | None
    steps: int = 5
    rule: str = "representation"
    rule_options: dict[str, Any] = field(default_factory=dict)
    method: str = "wanda"
    pattern: str | None = None
    refit: float | None = None
    regrow: bool = False
    update: str = "low-rank"
    ranks: str = "error"
    rank: int = 10
    most: int = 16
    scale: float = 2.0
    dropout: float = 0.0
    windows: int = 32
    batch_size: int = 8
    every: int = 25
    train: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        if self.ranks not in RANKS or self.update not in UPDATES:
            raise InputError("adapt", found=f"ranks {self.ranks!r}, update {self.update!r}",
                             expected=f"ranks {', '.join(RANKS)}; update {', '.join(UPDATES)}")
        if not 1 <= self.rank <= self.most or self.windows < 1 or self.every < 1:
            raise InputError("adapt", found=f"rank {self.rank}, most {self.most}, windows "
                                            f"{self.windows}, every {self.every}",
                             expected="1 <= rank <= most, and windows and every at least 1")
        if self.steps < 1 or not 0 <= self.dropout < 1:
            raise InputError("adapt", found=f"steps {self.steps}, dropout {self.dropout:g}",
                             expected="at least 1 step, dropout in [0, 1)")
        if self.ranks == "damage" and self.rule != "propagation":
            raise InputError("adapt", found=f"ranks by damage with rule {self.rule!r}",
                             expected="rule 'propagation', which measures it")
        if self.sparsity is None:
            self._check_unpruned()

    def _check_unpruned(self) -> None:
        """Nothing that only a pruning gives or needs."""
        usual = {one.name: one.default for one in fields(self)} | UNPRUNED
        for name in ("steps", "rule", "method", "refit", "pattern", "regrow", "ranks"):
            value = getattr(self, name)
            if value != usual[name]:
                raise InputError("adapt", found=f"{name} {value!r} without a sparsity",
                                 expected="one step and equal ranks, where nothing is pruned",
                                 mend=f"Give a sparsity too (--sparsity), or leave {name} out.")

    def as_dict(self) -> dict[str, Any]:
        """For the run record and the fingerprint of a resumed run."""
        found = asdict(self)
        found["train"]["dtype"] = None if self.train.dtype is None else str(self.train.dtype)
        return found
