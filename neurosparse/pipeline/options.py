"""What the main job is asked to do, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurosparse.budgets import RULES, check_options, check_sparsity
from neurosparse.errors import InputError
from neurosparse.models import PRODUCTS
from neurosparse.pruning import METHODS, Pattern, Refit, propagation_options
from neurosparse.sparse import VALUES
from neurosparse.sparse.kinds import find_group

DTYPES = ("float32", "bfloat16", "float16", "auto")


@dataclass(frozen=True)
class CompressOptions:
    """Options of ``compress``; the command line's options have the same names.

    Raises
    ------
    InputError, BudgetError
        A value is out of its range; the message names the option.
    """

    model: str
    sparsity: float
    out: str = "out"
    method: str = "wanda"
    refit: float | None = None
    pattern: str | None = None
    keep_zeros: bool = False
    rule: str = "propagation"
    step: float | str | None = None
    search_step: bool = False
    calibration: str | None = None
    selection: str | None = None
    report_text: str | None = None
    windows: int = 32
    window_length: int = 512
    report_windows: int = 64
    selection_windows: int = 16
    values: str = "bf16"
    group_size: int | None = None
    exclude: tuple[str, ...] = ()
    export: str | None = None
    dtype: str = "float32"
    products: str = "auto"
    device: str = "cpu"
    batch_size: int = 8
    stream: bool | None = None
    hidden: str = "memory"
    seed: int | None = None

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity, "compress")
        _one_of("method", self.method, tuple(sorted(METHODS)))
        _one_of("rule", self.rule, tuple(sorted(RULES)))
        _one_of("values", self.values, VALUES)
        find_group(self.values, self.group_size)
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("products", self.products, PRODUCTS)
        _one_of("hidden", self.hidden, ("memory", "disk"))
        if self.export is not None:
            _one_of("export", self.export, ("dense",))
        for name in ("windows", "report_windows", "selection_windows", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError("compress", found=f"{name} {getattr(self, name)}",
                                 expected="at least 1")
        if self.refit is not None:
            Refit(strength=self.refit)
        if self.pattern is not None:
            self._check_pattern(Pattern.read(self.pattern))
        if self.window_length < 2:
            raise InputError("compress", found=f"window_length {self.window_length}",
                             expected="at least 2 tokens")
        if self.search_step:
            if self.stream:
                raise InputError("compress", found="search_step with stream",
                                 expected="one of the two",
                                 mend="The search measures pruned models, which must be in memory.")
            if self.rule != "arithmetic" or self.step is not None:
                raise InputError("compress", found="search_step with "
                                 + (f"rule {self.rule!r}" if self.step is None else "a step"),
                                 expected="rule 'arithmetic' and no step")
        else:
            check_options(self.rule, self.rule_options)

    def _check_pattern(self, pattern: Pattern) -> None:
        wanted = pattern.sparsity
        if wanted is None:
            return
        if self.rule != "uniform" or self.search_step or abs(self.sparsity - wanted) > 1e-9:
            raise InputError("compress", found=f"pattern {pattern}, rule {self.rule!r}, sparsity "
                             f"{self.sparsity:g}", expected=f"rule 'uniform', sparsity {wanted:g}",
                             mend=f"Or let the rule choose N of {pattern.group} for every linear: "
                                  f"pattern n:{pattern.group}.")

    @property
    def multiple(self) -> int | None:
        """What rates are rounded to multiples of, one over it: M of a pattern n:M."""
        return None if self.pattern is None else Pattern.read(self.pattern).group

    @property
    def rule_options(self) -> dict[str, Any]:
        """Options of the rule that were given, or that follow from the method."""
        if self.step is not None:
            return {"step": self.step}
        return propagation_options(self.method, self.refit) if self.rule == "propagation" else {}

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return Path(self.out)

    def as_dict(self) -> dict[str, Any]:
        """All options by name."""
        return asdict(self)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError("compress", found=f"{name} {value!r}",
                         expected="one of " + ", ".join(known))
