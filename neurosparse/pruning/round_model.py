"""One pass through the blocks that rounds every target by what comes into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from neurosparse.errors import InputError
from neurosparse.models import (
    BlockWalk,
    Target,
    find_targets,
    get_weight,
    nan_check,
    set_weight,
    watch_inputs,
)
from neurosparse.progress import Progress, silent
from neurosparse.pruning.observe import BlockReport, Keeper
from neurosparse.pruning.rounding import BITS, round_weight
from neurosparse.pruning.statistics import StatisticsByTarget

Masks = Mapping[str, torch.Tensor]


@dataclass
class RoundReport:
    """Names of the targets that were rounded, and notes on what was done otherwise."""

    targets: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Wish:
    bits: int
    group: int | None
    damping: float
    masks: Masks


def round_model(
    model: nn.Module,
    tokens: torch.Tensor,
    *,
    bits: int = 8,
    group: int | None = None,
    masks: Masks | None = None,
    targets: Sequence[Target] | None = None,
    damping: float = 0.01,
    batch_size: int = 8,
    store: str = "memory",
    folder: str | None = None,
    dtype: torch.dtype | None = None,
    keeper: Keeper | None = None,
    progress: Progress = silent,
) -> RoundReport:
    """Round all weights of the decoder blocks in place, block by block (GPTQ, arXiv 2210.17323).

    The inputs of a block come from the already rounded blocks before it; all linears of a block
    are rounded from the statistics of its form before. ``sparse.save(model, folder,
    values="int8")`` after 8 bits, ``values="int4"`` after 4, with ``group_size`` the group, then
    stores exactly these entries.

    Parameters
    ----------
    model
        Pruned or dense, in float32 (whole numbers times scales are exact in no narrower type); a
        streamed model needs a ``keeper``.
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    bits, group, damping
        As for ``round_weight``.
    masks
        Bool tensors (out, in) by target name: the entries that are there; by default those that
        are not zero. Entries outside stay, or become, zero.
    targets
        What is rounded; by default all targets of the blocks.
    batch_size, store, folder, dtype, keeper
        As for ``prune``.

    Returns
    -------
    RoundReport

    Raises
    ------
    InputError
        A weight of another dtype than float32, a mask for what is not a target or of another
        shape, other bits or group.
    ModelError
        A weight is NaN or infinite, or the model has no decoder blocks.
    """
    wish = _Wish(bits, group, damping, masks or {})
    targets = find_targets(model) if targets is None else targets
    _check(wish, targets)
    walk = BlockWalk(model, tokens, batch_size=batch_size, store=store, folder=folder,
                     dtype=dtype)
    report = RoundReport([target.name for target in targets])
    for index in range(walk.n_blocks):
        mine = [target for target in targets if target.block == index]
        with walk.block(index) as block:
            if keeper is not None and keeper.has(index):
                done = keeper.put_back(index, block, mine)
            else:
                done = _round_block(model, walk, index, mine, wish)
                if keeper is not None:
                    keeper.keep(index, block, mine, done)
            walk.run(index, keep=True)
        report.notes += done.notes
        progress("round", index + 1, walk.n_blocks)
    return report


def _round_block(model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target],
                 wish: _Wish) -> BlockReport:
    nan_check(model, targets)
    statistics = StatisticsByTarget(gram=True)
    with watch_inputs(model, targets, lambda target, x: statistics.add(target.name, x)):
        if any(target.expert is not None for target in targets):
            walk.run(index, keep=False)
        else:
            walk.look(index, [target.module_name for target in targets])
    notes, zeros = [], {}
    for target in targets:
        weight = get_weight(model, target)
        if weight.dtype != torch.float32:
            raise InputError(f"round {target.name}", found=f"a {weight.dtype} weight",
                             expected="float32", mend='Load the model with dtype="float32".')
        mask = wish.masks.get(target.name)
        keep = weight != 0 if mask is None else mask.to(weight.device)
        seen = statistics.get(target.name)
        found = round_weight(weight, keep, None if seen is None else seen.gram, bits=wish.bits,
                             group=wish.group, damping=wish.damping)
        if seen is None:
            notes.append(f"{target.name} was never reached by calibration: rounded to nearest")
        elif found.note is not None:
            notes.append(f"{target.name}: {found.note}")
        set_weight(model, target, found.dense())
        zeros[target.name] = int((~keep).sum())
    return BlockReport(zeros, notes)


def _check(wish: _Wish, targets: Sequence[Target]) -> None:
    shapes = {target.name: target.shape for target in targets}
    for name, mask in wish.masks.items():
        if shapes.get(name) != tuple(mask.shape) or mask.dtype != torch.bool:
            raise InputError("round", found=f"a {mask.dtype} mask {tuple(mask.shape)} for {name!r}",
                             expected="bool masks of the shapes of targets")
    if wish.bits not in BITS or (wish.group is not None and wish.group < 1):
        raise InputError("round", found=f"bits={wish.bits}, group={wish.group}",
                         expected="8 or 4 bits, a group of at least 1 column")
