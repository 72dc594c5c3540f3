"""The profile of a model: sizes, norms, and the evidence asked for, from one dense walk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from neurosparse.budgets import Profile
from neurosparse.measure.collect_curves import CurvesCollector
from neurosparse.measure.collectors import make_collectors
from neurosparse.measure.evidence import Collector, Cost, Scene, cost_of
from neurosparse.models import (
    BlockWalk,
    Target,
    find_blocks,
    find_targets,
    get_weight,
    identity,
    nan_check,
    watch_inputs,
)
from neurosparse.progress import Progress, silent
from neurosparse.pruning import StatisticsByTarget, find_method

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def profile(
    model: nn.Module,
    tokens: torch.Tensor,
    *,
    evidence: Iterable[str | Collector] = ("curves",),
    method: str = "wanda",
    levels: Sequence[float] = LEVELS,
    exclude: Sequence[str] = (),
    calibration: dict[str, Any] | None = None,
    batch_size: int = 8,
    store: str = "memory",
    folder: str | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = silent,
) -> Profile:
    """Measure a model in one forward pass over the calibration windows, and what more is asked.

    Parameters
    ----------
    model
        From ``models.load``, in memory or streamed.
    tokens : int64 tensor of shape (windows, length)
    evidence
        What to measure: names of ``measure.known_evidence()``, of which
        ``budgets.evidence_for(rule)`` says those that a rule needs, or collectors with options of
        their own. What it costs, ``measure.profile_cost`` says before anything runs.
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
        Where hidden states live: ``"memory"``, ``"device"`` (on the card, with the ranks of all
        weights, a byte each), or ``"disk"`` below ``folder``.
    dtype
        Of the walk's matrix products; the model's own by default. Collectors have their own say.

    Returns
    -------
    Profile
        An expert that no token reached has a curve of nan.

    Raises
    ------
    ModelError
        A weight is NaN or infinite, or there are no decoder blocks.
    InputError
        Unknown method or evidence, or a level outside [0, 1].
    """
    chosen = find_method(method)
    collectors = make_collectors(evidence, levels)
    targets = find_targets(model, exclude=tuple(exclude))
    walk = BlockWalk(model, tokens, batch_size=batch_size, store=store, folder=folder,
                     dtype=dtype)
    scene = Scene(model, tokens, targets, walk, chosen, progress)
    for collector in collectors:
        collector.begin(scene)
    norms: dict[str, float] = {}
    with torch.inference_mode():
        for index in range(walk.n_blocks):
            mine = scene.of_block(index)
            with walk.block(index):
                nan_check(model, mine)
                statistics = _see(scene, index, mine, collectors)
                for target in mine:
                    weight = get_weight(model, target)
                    norms[target.name] = float(weight.double().square().sum().sqrt())
                for collector in collectors:
                    collector.block(scene, index, statistics)
            progress("profile", index + 1, walk.n_blocks)
    found = _bare(model, targets, np.array([norms[t.name] for t in targets]))
    found.calibration = calibration or {"windows": len(tokens), "length": tokens.shape[1]}
    for collector in collectors:
        if isinstance(collector, CurvesCollector):
            found.curves = collector.curves(scene)
        else:
            found.evidence[collector.name] = {
                name: np.asarray(array, float) for name, array in collector.finish(scene).items()}
    return found


def profile_cost(model: nn.Module, evidence: Iterable[str | Collector] = ("curves",), *,
                 windows: int = 32) -> Cost:
    """What ``profile`` would cost, in forward passes of its windows; nothing runs.

    Raises
    ------
    InputError
        Unknown evidence.
    """
    return cost_of(make_collectors(evidence, LEVELS), len(find_blocks(model)), windows)


def _see(scene: Scene, index: int, targets: Sequence[Target], collectors: Sequence[Collector]
         ) -> StatisticsByTarget:
    """Run the block if anybody looks, with as much remembered of its inputs as they need."""
    needs = frozenset[str]().union(*(one.needs for one in collectors))
    statistics = StatisticsByTarget(gram="gram" in needs)
    if needs & {"gram", "inputs"}:
        with watch_inputs(scene.model, targets, lambda t, x: statistics.add(t.name, x)):
            scene.walk.run(index, keep=True)
    elif "hidden" in needs:
        scene.walk.run(index, keep=True)
    return statistics


def _bare(model: nn.Module, targets: Sequence[Target], norms: np.ndarray[Any, Any]) -> Profile:
    return Profile(
        names=[t.name for t in targets],
        sizes=np.array([t.size for t in targets], np.int64),
        block=np.array([t.block for t in targets], np.int64),
        roles=[t.role for t in targets],
        norms=norms,
        model=identity(model),
    )


def sizes_only(model: nn.Module, *, exclude: Sequence[str] = ()) -> Profile:
    """A profile of names and sizes alone, enough for rules that measure nothing.

    Norms are nan. Works on models whose weights are not loaded.
    """
    targets = find_targets(model, exclude=tuple(exclude))
    return _bare(model, targets, np.full(len(targets), np.nan))
