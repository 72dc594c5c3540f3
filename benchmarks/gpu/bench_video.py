"""Where do time and memory go when a 7B video model answers about 128 frames?

    python benchmarks/gpu/bench_video.py [--small] [--out FILE]

LLaVA-OneVision-7B's shapes, random weights, bf16, a film of 640 x 360: decode, score (the model
asked yes or no of every frame, in both orders), encode, resize, answer. Query-aware at an
eighth of all tokens against uniform, which scores nothing, at twice that budget: what the scoring
costs must come back in the answer. Every stage waits for the card before its clock is read.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import Row, Where, free, script
from video_model import film, video_model

from neurosparse.video import (
    AskedScorer,
    Frames,
    assign_tokens,
    decouple,
    encode_frames,
    family_of,
    generate,
    sample_frames,
    score_frames,
    show,
)
from neurosparse.video.units import full_grid, unit_times

FRAMES, QUESTION, WORDS = 128, "what is the last thing seen ?", 16
STAGES = ("decode", "score", "encode", "resize", "answer")


def decoded(where: Where, count: int) -> tuple[float, Frames, str]:
    """Seconds, frames, and how they were come by."""
    try:
        import av  # noqa: F401
    except ImportError:  # the other stages do not need it
        rng = np.random.default_rng(0)
        pictures = tuple(rng.integers(0, 255, (360, 640, 3), dtype=np.uint8) for _ in range(count))
        return float("nan"), Frames(pictures, np.arange(count) / 2.0, count / 2.0, ()), "no PyAV"
    with tempfile.TemporaryDirectory() as folder:
        path = film(Path(folder) / "film.mp4", 2 * count)
        seconds, _, taken = where.once(lambda: sample_frames(path, count))
    return seconds, taken, "PyAV"


def answered(where: Where, model: Any, processor: Any, taken: Frames, *, share: float,
             aware: bool) -> dict[str, tuple[float, float]]:
    """Seconds and GiB of every stage at a share of all tokens."""
    family, found = family_of(model), {}
    count = len(taken.pictures)
    scores, trust = np.ones(count), 1.0
    if aware:
        judge = AskedScorer(model, processor, family=family, least_mass=0.0)
        asked = decouple(QUESTION, None, mode="off")
        *spent, seen = where.once(lambda: score_frames(taken.pictures, asked, judge, batch=16))
        found["score"] = tuple(spent)
        scores, trust = seen.scores, seen.trust
    *spent, features = where.once(
        lambda: encode_frames(family, model, processor, taken.pictures, batch=32))
    found["encode"] = tuple(spent)
    full = full_grid(features)
    budget = max(count, round(share * count * full[0] * full[1]))
    # Random weights agree on nothing: without the guard the tokens go where the scores say.
    assignment = assign_tokens(scores, budget, full=full, trust=1.0 if aware else trust)
    times = unit_times(taken.times, family.unit_frames(model))
    *spent, shown = where.once(lambda: show(features, assignment, times, taken.duration))
    found["resize"] = tuple(spent)

    def answer() -> str:
        prompt = family.prompt(model, processor, QUESTION, shown)
        return generate(family, model, processor, prompt, max_new_tokens=WORDS)

    *spent, _ = where.once(answer)
    found["answer"] = tuple(spent)
    return found


def measure(where: Where) -> list[Row]:
    """Both ways, after a first run that loads what is loaded once."""
    count = 4 if where.small else FRAMES
    model, processor = video_model(where)
    seconds, taken, how = decoded(where, count)
    first = Frames(taken.pictures[:4], taken.times[:4], taken.duration, ())
    share = 1 / 8 if not where.small else 1 / 4
    with torch.inference_mode():
        answered(where, model, processor, first, share=share, aware=True)
        free(where)
        ours = answered(where, model, processor, taken, share=share, aware=True)
        free(where)
        theirs = answered(where, model, processor, taken, share=2 * share, aware=False)
    found = [Row(f"video, decode {count} frames ({how})", seconds, "s")]
    for stage in STAGES[1:]:
        against = theirs.get(stage)
        found.append(Row(f"video, {stage}", ours[stage][0], "s",
                         None if against is None else against[0],
                         notes={"gib": ours[stage][1],
                                "uniform_gib": None if against is None else against[1]}))
    whole, other = (sum(one[0] for one in way.values()) for way in (ours, theirs))
    found.append(Row(f"video, all but decode: {share:.0%} aware against {2 * share:.0%} uniform",
                     whole, "s", other, notes={
                         "gib": max(one[1] for one in ours.values()),
                         "uniform_gib": max(one[1] for one in theirs.values())}))
    return found


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
