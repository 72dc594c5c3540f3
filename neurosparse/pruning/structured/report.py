"""What was cut."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SiteCut:
    """What stays at one site: kept indices of each axis (of experts' neurons, by expert)."""

    kept: dict[str, list[int] | list[list[int]]]
    before: dict[str, int]
    removed: int

    @property
    def after(self) -> dict[str, int]:
        """Members of each axis that stay."""
        return {axis: len(rows[0]) if rows and isinstance(rows[0], list) else len(rows)
                for axis, rows in self.kept.items()}


@dataclass
class StructuredReport:
    """What went, by site.

    Attributes
    ----------
    sites
        By module path.
    asked
        Parameters that the budget promised.
    removed
        Parameters that the model has fewer (a bias that was added counts against them).
    size
        Parameters of the linear maps of all blocks, as they were.
    notes
        Rates that whole heads cannot reach, experts never seen.
    """

    sites: dict[str, SiteCut] = field(default_factory=dict)
    asked: int = 0
    removed: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Share of the linear maps' parameters that went."""
        return self.removed / self.size if self.size else 0.0
