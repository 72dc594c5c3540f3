"""The profile of a model: sizes, norms and local error curves from one dense pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from neurosparse.budgets import Curves, Profile
from neurosparse.errors import InputError
from neurosparse.measure.curves import local_error
from neurosparse.models import (
    BlockWalk,
    Target,
    find_targets,
    get_weight,
    identity,
    nan_check,
    watch_inputs,
)
from neurosparse.progress import Progress, silent
from neurosparse.pruning import Method, StatisticsByTarget, find_method

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def profile(
    model: nn.Module,
    tokens: torch.Tensor,
    *,
    method: str = "wanda",
    levels: Sequence[float] = LEVELS,
    exclude: Sequence[str] = (),
    calibration: dict[str, Any] | None = None,
    batch_size: int = 8,
    store: str = "memory",
    folder: str | None = None,
    progress: Progress = silent,
) -> Profile:
    """Measure a model in one forward pass over the calibration windows.

    Parameters
    ----------
    model
        From ``models.load``, in memory or streamed.
    tokens : int64 tensor of shape (windows, length)
    method
        Pruning method whose masks make the local error curves.
    levels
        Rates of the curves.
    exclude
        Glob patterns of linears to leave out.
    calibration
        Identity of the text, kept in the profile as it is.
    batch_size
        Windows a forward pass.
    store, folder
        Where hidden states live: ``"memory"``, or ``"disk"`` below ``folder``.

    Returns
    -------
    Profile
        An expert that no token reached has a curve of nan.

    Raises
    ------
    ModelError
        A weight is NaN or infinite, or there are no decoder blocks.
    InputError
        Unknown method, or a level outside [0, 1].
    """
    chosen = find_method(method)
    if not levels or any(not 0 <= level <= 1 for level in levels):
        raise InputError("profile", found=f"levels {list(levels)}", expected="rates in [0, 1]")
    targets = find_targets(model, exclude=tuple(exclude))
    walk = BlockWalk(model, tokens, batch_size=batch_size, store=store, folder=folder)
    norms: dict[str, float] = {}
    errors: dict[str, list[float]] = {}
    with torch.inference_mode():
        for index in range(walk.n_blocks):
            mine = [target for target in targets if target.block == index]
            with walk.block(index):
                nan_check(model, mine)
                statistics = StatisticsByTarget(gram=True)
                _see(walk, index, model, mine, statistics)
                for target in mine:
                    _measure(model, target, statistics, chosen, levels, norms, errors)
            progress("profile", index + 1, walk.n_blocks)
    return Profile(
        names=[t.name for t in targets],
        sizes=np.array([t.size for t in targets], np.int64),
        block=np.array([t.block for t in targets], np.int64),
        roles=[t.role for t in targets],
        norms=np.array([norms[t.name] for t in targets]),
        curves=Curves(np.array(levels, float), np.array([errors[t.name] for t in targets]), method),
        model=identity(model),
        calibration=calibration or {"windows": len(tokens), "length": tokens.shape[1]},
    )


def _see(walk: BlockWalk, index: int, model: nn.Module, targets: Sequence[Target],
         statistics: StatisticsByTarget) -> None:
    with watch_inputs(model, targets, lambda t, x: statistics.add(t.name, x)):
        walk.run(index, keep=True)


def _measure(
    model: nn.Module, target: Target, statistics: StatisticsByTarget, method: Method,
    levels: Sequence[float], norms: dict[str, float], errors: dict[str, list[float]],
) -> None:
    weight = get_weight(model, target)
    norms[target.name] = float(weight.double().square().sum().sqrt())
    seen = statistics.get(target.name)
    errors[target.name] = ([float("nan")] * len(levels) if seen is None
                           else local_error(weight, seen, method, levels))


def sizes_only(model: nn.Module, *, exclude: Sequence[str] = ()) -> Profile:
    """A profile of names and sizes alone, enough for rules that measure nothing.

    Norms are nan. Works on models whose weights are not loaded.
    """
    targets = find_targets(model, exclude=tuple(exclude))
    return Profile(
        names=[t.name for t in targets],
        sizes=np.array([t.size for t in targets], np.int64),
        block=np.array([t.block for t in targets], np.int64),
        roles=[t.role for t in targets],
        norms=np.full(len(targets), np.nan),
        model=identity(model),
    )
