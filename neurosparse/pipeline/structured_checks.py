"""What a structured cut or a search of one would refuse late, refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from neurosparse.errors import InputError
from neurosparse.pruning.structured import Group, check_droppable, check_room, find_groups

if TYPE_CHECKING:
    from neurosparse.pipeline.search_run import SearchOptions
    from neurosparse.pipeline.structured_step import StructuredOptions


def even_folder(folder: Path) -> Path:
    """Where ``export="even"`` goes: beside the cut model."""
    return folder.with_name(folder.name + "-even")


def check_new(folder: Path, export: str | None) -> None:
    """Refuse folders that are there.

    Raises
    ------
    InputError
        One of them is.
    """
    for place in (folder, *([even_folder(folder)] if export == "even" else [])):
        if place.exists():
            raise InputError("prune", found=f"{place} exists", expected="a new folder")


def check_cut(model: nn.Module, structured: StructuredOptions) -> list[Group]:
    """Refuse what the model's shapes forbid.

    Parameters
    ----------
    model
        Meta tensors will do.

    Returns
    -------
    list of Group
        Its units.

    Raises
    ------
    InputError, BudgetError, ModelError
        All blocks are to go, or blocks of a model that was cut; experts of one that has none; a
        rate beyond what whole units give.
    """
    if structured.blocks:
        check_droppable(model, structured.blocks)
    groups = find_groups(model, heads=structured.heads, experts=structured.experts,
                         round_to=structured.round_to)
    if structured.experts and not any(group.site.kind == "experts" for group in groups):
        raise InputError("prune --structured", found="--experts, and a model without experts",
                         expected="a mixture of experts")
    if structured.rate is not None and structured.rule == "propagation":
        check_room(groups, structured.rate)
    return groups


def search_groups(model: nn.Module, options: SearchOptions) -> list[Group]:
    """The units of a search, whose start can be had.

    Raises
    ------
    BudgetError
        A rate beyond what whole units give.
    """
    groups = find_groups(model, heads=options.heads, round_to=options.round_to)
    if options.proposer != "line" and options.start == "propagation":
        check_room(groups, options.rate)
    return groups
