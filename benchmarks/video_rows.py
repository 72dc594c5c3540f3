"""The rows of the table of token budgets: each turns a video and a question into what is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from video_bench import BUDGETS, FRAMES, FULL, Bench, Way
from video_foils import AttentionPruning, similarity_pruning

from neurosparse.video import (
    RESIZERS,
    adaptive_keyframes,
    agreement,
    assign_tokens,
    resize_tokens,
    uniform_indices,
)
from neurosparse.video.resize import makes_rectangles
from neurosparse.video.score import FrameScores

# Hit and false-alarm rates of planted scorers; the last two know nothing, and worse.
PLANTED = ((1.0, 0.0), (0.9, 0.1), (0.7, 0.2), (0.3, 0.3), (0.2, 0.4))
_HIGH, _LOW = 0.9, 0.1


def shown(grids: Tensor, scores: Any, budget: int, resizer: str = "bilinear",
          trust: float = 1.0, power: float = 2.0) -> list[Tensor]:
    """What ``ask`` shows with these scores."""
    given = assign_tokens(scores, budget, full=FULL, trust=trust, power=power)
    kept = given.kept.tolist()
    sizes: list[Any] = ([given.grids[at] for at in kept] if makes_rectangles(resizer)
                        else given.tokens[kept].tolist())
    return resize_tokens(grids[kept], sizes, method=resizer)  # type: ignore[arg-type]


def _whole_frames(budget: int) -> int:
    return max(1, budget // (FULL[0] * FULL[1]))


def _frames(bench: Bench, video: int, question: int, budget: int) -> list[Tensor]:
    chosen = uniform_indices(np.arange(FRAMES), _whole_frames(budget))
    if len(chosen) == 1:
        chosen = np.array([FRAMES // 2])  # the middle one, and not the first
    return list(bench.grids[video][chosen])


def _pooled(resizer: str) -> Way:
    return lambda bench, video, question, budget: shown(
        bench.grids[video], np.ones(FRAMES), budget, resizer)


def _similar(bench: Bench, video: int, question: int, budget: int) -> list[Tensor]:
    return similarity_pruning(bench.grids[video], budget)


def _keyframes(name: str) -> Way:
    return lambda bench, video, question, budget: list(bench.grids[video][adaptive_keyframes(
        bench.scores(name, video, question).scores, _whole_frames(budget))])


def _quota(name: str, resizer: str = "bilinear", *, guard: bool = True, power: float = 2.0
           ) -> Way:
    def way(bench: Bench, video: int, question: int, budget: int) -> list[Tensor]:
        found = bench.scores(name, video, question)
        return shown(bench.grids[video], found.scores, budget, resizer,
                     found.trust if guard else 1.0, power)

    return way


def planted(bench: Bench, video: int, question: int, hit: float, alarm: float, *,
            again: bool) -> FrameScores:
    """A scorer of known rates, read twice: with errors of its own each time, or (``again``) the
    same both times, which no agreement finds out.
    """
    matter = bench.asked(video, question).matter
    rng = np.random.default_rng([int(1000 * hit), int(1000 * alarm), video, question])
    flags = rng.random((2, FRAMES)) < np.where(matter, hit, alarm)
    if again:
        flags[1] = flags[0]
    readings = np.where(flags, _HIGH, _LOW)
    return FrameScores(readings, readings.mean(axis=0), agreement(readings), "planted")


def by_wording(bench: Bench, video: int, question: int, hit: float, alarm: float, *,
               paraphrase: bool) -> FrameScores:
    """A scorer that answers by the wording: errors of its own in each, the same in both orders.

    Swapping the options does not find it out; what it says in another wording is another chance.
    """
    rng = np.random.default_rng([4, video, question])
    rates = np.where(bench.asked(video, question).matter, hit, alarm)
    flags = (rng.random((1 + paraphrase, FRAMES)) < rates).repeat(2, axis=0)
    readings = np.where(flags, _HIGH, _LOW)
    return FrameScores(readings, readings.mean(axis=0),
                       agreement(readings, layout=(1 + paraphrase, 2)), "by wording")


def _by_wording(hit: float, alarm: float, *, paraphrase: bool, guard: bool) -> Way:
    def way(bench: Bench, video: int, question: int, budget: int) -> list[Tensor]:
        found = by_wording(bench, video, question, hit, alarm, paraphrase=paraphrase)
        bench.note(f"{hit:g}/{alarm:g} by the wording{', paraphrase' if paraphrase else ''}",
                   video, question, found)
        return shown(bench.grids[video], found.scores, budget, "bilinear",
                     found.trust if guard else 1.0)

    return way


def _planted(hit: float, alarm: float, *, again: bool, guard: bool) -> Way:
    def way(bench: Bench, video: int, question: int, budget: int) -> list[Tensor]:
        found = planted(bench, video, question, hit, alarm, again=again)
        kind = "one error" if again else "errors apart"
        bench.note(f"planted {hit:g}/{alarm:g}, {kind}", video, question, found)
        return shown(bench.grids[video], found.scores, budget, "bilinear",
                     found.trust if guard else 1.0)

    return way


BLIND = ("frames, evenly spaced", "pooling, bilinear", "pooling, average", "similarity pruning")
ROWS: dict[str, Way] = {
    "frames, evenly spaced": _frames,
    "pooling, bilinear": _pooled("bilinear"),
    "pooling, average": _pooled("average"),
    "similarity pruning": _similar,
    "AKS, own scores": _keyframes("own"),
    **{f"QuoTA, {resizer}": _quota("own", resizer) for resizer in RESIZERS},
    "QuoTA, not decoupled": _quota("own plain"),
    "QuoTA, no guard": _quota("own", guard=False),
    "QuoTA, not decoupled, no guard": _quota("own plain", guard=False),
    "QuoTA, paraphrase": _quota("own paraphrase"),
    "QuoTA, coarse": _quota("own coarse"),
    "QuoTA, scored with 9 tokens": _quota("own 9"),
    "QuoTA, scored with 4 tokens": _quota("own 4"),
    "QuoTA, by words": _quota("words"),
    "QuoTA, by words, not decoupled": _quota("words plain"),
    # Chosen on videos of the training part: cosines are nearer to one another than answers.
    "QuoTA, by words, not decoupled, power 4": _quota("words plain", power=4.0),
    "untrained scorer, no guard": _quota("untrained", guard=False),
    "untrained scorer, guard": _quota("untrained"),
    "untrained scorer, guard, paraphrase": _quota("untrained paraphrase"),
}
for _hit, _alarm in PLANTED:
    ROWS[f"planted {_hit:g}/{_alarm:g}, no guard"] = _planted(_hit, _alarm, again=True,
                                                              guard=False)
for _hit, _alarm in PLANTED[3:]:
    for _paraphrase in (False, True):
        for _guard in (False, True):
            ROWS[f"{_hit:g}/{_alarm:g} by the wording, {'guard' if _guard else 'no guard'}"
                 f"{', paraphrase' if _paraphrase else ''}"] = _by_wording(
                     _hit, _alarm, paraphrase=_paraphrase, guard=_guard)
for _hit, _alarm in PLANTED[2:]:
    for _guard in (False, True):
        ROWS[f"planted {_hit:g}/{_alarm:g} apart, {'guard' if _guard else 'no guard'}"] = (
            _planted(_hit, _alarm, again=False, guard=_guard))


def by_attention(bench: Bench) -> dict[str, list[str]]:
    """FastV-like pruning under all budgets: the layers that read everything are run once."""
    pruning = AttentionPruning(bench.model)
    said: list[list[int]] = []
    with torch.inference_mode():
        for video, scene in enumerate(bench.scenes):
            for question in range(len(scene.asked)):
                prompt = bench.prompt(video, question, [bench.grids[video].flatten(0, 2)])
                said.append(pruning.answers(prompt, BUDGETS))
    return {str(budget): bench.marked([one[at] for one in said])
            for at, budget in enumerate(BUDGETS)}
