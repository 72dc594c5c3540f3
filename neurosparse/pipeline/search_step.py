"""ATP's search: prune at every step of a grid, keep the one that is best on the selection text."""

from __future__ import annotations

import math

import numpy as np

from neurosparse.budgets import Profile, allocate, step_bounds
from neurosparse.measure import perplexity
from neurosparse.models import load
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.texts import Texts
from neurosparse.pipeline.work import Work
from neurosparse.progress import Progress
from neurosparse.pruning import prune

GRID = 0.002


def grid(profile: Profile, sparsity: float) -> list[float]:
    """Steps 0, 0.002, 0.004 ... within the legal interval (ATP section 3.3, and zero)."""
    blocks, where = np.unique(profile.block, return_inverse=True)
    sizes = np.bincount(where, weights=profile.sizes).astype(np.int64).tolist()
    greatest = step_bounds(len(blocks), sparsity, sizes=sizes)[1]
    return [round(GRID * i, 6) for i in range(math.floor(greatest / GRID + 1e-9) + 1)]


def search_step(options: CompressOptions, work: Work, texts: Texts, profile: Profile,
                progress: Progress) -> float:
    """The step of least perplexity on the selection text; the report text is never read.

    Every trial starts from the dense model, loaded again, and is written down: a resumed search
    repeats none.
    """
    assert texts.selection is not None, "gather() reads a selection text when a search is asked"
    steps = grid(profile, options.sparsity)
    tried: dict[str, float] = work.noted("search") or {}
    for number, step in enumerate(steps):
        progress("search step", number, len(steps))
        if repr(step) in tried:
            continue
        budget = allocate(profile, options.sparsity, rule="arithmetic", step=step)
        fresh = load(options.model, dtype=options.dtype, device=options.device).model
        prune(fresh, budget, texts.calibration, method=options.method,
              batch_size=options.batch_size)
        tried[repr(step)] = perplexity(fresh, texts.selection).value
        work.note("search", tried)
    progress("search step", len(steps), len(steps))
    return min(steps, key=lambda step: tried[repr(step)])
