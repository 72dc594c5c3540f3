"""What a structured cut or a search of one would refuse late, refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from neurosparse.errors import InputError, ModelError
from neurosparse.models import find_blocks
from neurosparse.pruning.structured import Group, check_room, find_groups
from neurosparse.pruning.structured.groups import HEADS
from neurosparse.sparse.uneven import is_uneven

if TYPE_CHECKING:
    from neurosparse.pipeline.structured_step import StructuredOptions


def check_units(operation: str, heads: str, round_to: int) -> None:
    """Refuse unknown units of attention and multiples of neurons below one.

    Raises
    ------
    InputError
        As said.
    """
    if heads not in HEADS or round_to < 1:
        raise InputError(operation, found=f"heads {heads!r}, round_to {round_to}",
                         expected=f"heads {' or '.join(HEADS)}; at least 1")


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
    blocks = len(find_blocks(model))
    if structured.blocks >= blocks:
        raise InputError("drop blocks", found=f"{structured.blocks} of {blocks} blocks",
                         expected=f"0 to {blocks - 1}")
    if structured.blocks and is_uneven(model):
        raise ModelError("drop blocks", found="a model that was cut already",
                         expected="whole blocks first, heads and neurons after")
    groups = find_groups(model, heads=structured.heads, experts=structured.experts,
                         round_to=structured.round_to)
    if structured.experts and not any(group.site.kind == "experts" for group in groups):
        raise InputError("prune --structured", found="--experts, and a model without experts",
                         expected="a mixture of experts")
    if structured.rate is not None and structured.rule == "propagation":
        check_room(groups, structured.rate)
    return groups
