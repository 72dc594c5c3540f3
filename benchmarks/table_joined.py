"""Tokens and sparsity chosen together, against each alone at the same operations.

Run: python examples/video/train_small.py --out out/small-video      trains the model
     python benchmarks/table_joined.py                  measures, chooses, asks (goes on where cut)
     python benchmarks/table_joined.py --show           prints the table from what is there
     python benchmarks/table_joined.py --markdown       the same for the documentation
     python benchmarks/table_joined.py --figure FILE    draws the surface and the choices
     python benchmarks/table_joined.py --quick          few questions, to see that it runs

Measured and chosen on videos of the training part (another seed), reported on the held-out videos
of ``table_video.py``: questions, options and layouts that training never saw. Operations are
counted, of one answer: vision, scoring, reading, saying; zeros are not multiplied; 1 is the dense
model that is shown all 600 tokens. Chosen by both damages: ``kl`` to that model, which needs no
answers, and ``loss`` of the right option, which does. Errors are over videos, those of differences
paired.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from video_bench import FRAMES, FULL, Bench, digest

from neurosparse.budgets import JoinedChoice, JoinedCurves, JoinedPoint, allocate, joined, surface
from neurosparse.errors import BudgetError
from neurosparse.files import write_json
from neurosparse.measure import sizes_only
from neurosparse.measure.joined_points import by_group, joined_points, pruned, spread
from neurosparse.measure.video_answers import (
    VideoAsked,
    Watching,
    answers,
    calibration_prompts,
    references,
)
from neurosparse.video import AskedScorer, Frames, FunctionScorer

ALL = FRAMES * FULL[0] * FULL[1]
TOKENS = (25, 50, 100, 200, 300, 450, ALL)
SPARSITIES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7)
# Operations, in shares of the dense model with all tokens; a model that scores frames itself
# reads each frame twice with its question, more than the whole video.
TARGETS = {"none": (0.4, 0.65, 0.8), "self": (1.5, 2.0, 3.0)}
WAYS = ("best", "tokens_alone", "sparsity_alone")
DAMAGES = ("kl", "loss")
_SEED = 1_000_003
Table = dict[str, Any]


def _alike(pictures: Any, question: str) -> Any:
    return np.ones(len(pictures))


def watching(bench: Bench, scorer: str, cache: Path) -> Watching:
    """Frames evenly, or by what the model itself says of them."""
    def make(model: Any) -> Any:
        return (FunctionScorer(_alike, "none") if scorer == "none" else
                AskedScorer(model, bench.processor, tokens=FULL[0] * FULL[1]))

    return Watching(bench.model, bench.family, bench.processor, make, decoupling="off",
                    batch=FRAMES, cache=cache / "scores")


def questions(bench: Bench) -> list[VideoAsked]:
    """All questions about all videos."""
    found = []
    for number, scene in enumerate(bench.scenes):
        frames = Frames(tuple(scene.pictures), np.arange(FRAMES) / 2, FRAMES / 2)
        found += [VideoAsked(str(number), partial(_same, frames), one.question, one.options,
                             one.options.index(one.answer)) for one in scene.asked]
    return found


def _same(frames: Frames) -> Frames:
    return frames


def measure(arguments: argparse.Namespace, scorer: str, cache: Path) -> Table:
    """Damage and operations on the ladder, of calibration videos."""
    bench = Bench(Path(arguments.model), arguments.calibration, _SEED, cache, held_out=False)
    watch, asked, sizes = watching(bench, scorer, cache), questions(bench), sizes_only(bench.model)
    prompts = calibration_prompts(watch, asked[:32], TOKENS)
    points = joined_points(
        watch, asked, tokens=TOKENS, sparsities=SPARSITIES,
        budget_of=lambda sparsity: allocate(sizes, sparsity), prompts=prompts, reference=ALL,
        method=arguments.method, folder=cache / f"points-{scorer}",
        mark=f"{digest(Path(arguments.model))} {arguments.calibration} {arguments.method}",
        progress=_told)
    found = points.as_dict()
    for damage in ("kl", "loss", "right"):
        del found[damage]["answers"]  # means and errors are enough to choose again
    return {**found, "cross": {
        damage: {name: np.asarray(value).tolist()
                 for name, value in asdict(points.cross(damage)).items()} for damage in DAMAGES}}


def _told(stage: str, done: int, of: int) -> None:
    if done == of:
        print(f"  {time.strftime('%H:%M:%S')} {stage}", flush=True)


def curves(found: Table, damage: str) -> JoinedCurves:
    """For a choice."""
    return JoinedCurves(np.array(found["tokens"]), np.array(found["sparsities"]),
                        np.array(found[damage]["mean"]), np.array(found["flops"]), "flops",
                        found["dense_flops"])


def choices(found: Table, scorer: str) -> dict[str, JoinedChoice]:
    """By damage and target; none where a target is out of reach."""
    made = {}
    for damage in DAMAGES:
        whole = curves(found, damage)
        for target in TARGETS[scorer]:
            try:
                made[f"{damage} {target:g}"] = joined(whole, cost=target * whole.dense)
            except BudgetError as error:
                print(f"{scorer} {damage} {target:g}: {error}")
    return made


def report(arguments: argparse.Namespace, scorer: str, cache: Path,
           made: dict[str, JoinedChoice], rows: Table) -> None:
    """Ask the held-out questions at every point that was chosen, each once."""
    bench = Bench(Path(arguments.model), arguments.videos, arguments.seed, cache)
    watch, asked, sizes = watching(bench, scorer, cache), questions(bench), sizes_only(bench.model)
    # Masks are those that were measured: of the calibration videos.
    before = Bench(Path(arguments.model), 8, _SEED, cache, held_out=False)
    prompts = calibration_prompts(watching(before, scorer, cache), questions(before)[:32], TOKENS)
    said, _ = references(watch, asked, ALL)
    wanted = {(0.0, ALL)} | {(one.sparsity, one.tokens) for choice in made.values() for way in WAYS
                             if (one := getattr(choice, way)) is not None}
    for sparsity in sorted({rate for rate, _ in wanted}):
        todo = sorted(count for rate, count in wanted if rate == sparsity
                      and point_name(count, sparsity) not in rows)
        if not todo:
            continue
        with pruned(watch, prompts, allocate(sizes, sparsity), method=arguments.method):
            done = answers(watch, asked, said, todo)
        for row, count in enumerate(todo):
            rows[point_name(count, sparsity)] = {
                name: np.round(getattr(done, name)[row].reshape(arguments.videos, -1), 5).tolist()
                for name in ("kl", "loss", "right")}
        print(f"  {time.strftime('%H:%M:%S')} held-out at {sparsity:g}: {todo}", flush=True)


def point_name(tokens: int, sparsity: float) -> str:
    """Of a point in the table."""
    return f"{tokens} at {sparsity:.4f}"


def run(arguments: argparse.Namespace) -> Table:
    """Measure and ask what is not there yet, writing after every part."""
    path, cache = Path(arguments.out), Path(arguments.cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    table: Table = json.loads(path.read_text()) if path.is_file() else {}
    facts = {"model": digest(Path(arguments.model)), "calibration_videos": arguments.calibration,
             "videos": arguments.videos, "seed": arguments.seed, "method": arguments.method}
    for scorer in arguments.scorers:
        print(scorer, flush=True)
        part = table.setdefault(scorer, {"facts": facts, "rows": {}})
        if part["facts"] != facts:
            raise SystemExit(f"{path} is of another model or of other videos: name another --out")
        if "measured" not in part:
            part["measured"] = measure(arguments, scorer, cache)
            write_json(path, table)
        made = choices(part["measured"], scorer)
        report(arguments, scorer, cache, made, part["rows"])
        part["choices"] = {name: {way: None if getattr(one, way) is None
                                  else asdict(getattr(one, way)) for way in WAYS}
                           for name, one in made.items()}
        write_json(path, table)
    return table


def lines(part: Table) -> list[dict[str, Any]]:
    """One line a choice and way: foretold and held-out damage, accuracy, and how much more.

    "More" is the way's less that of both together, with paired errors over videos.
    """
    found, dense = [], part["measured"]["dense_flops"]
    for name, choice in part["choices"].items():
        damage, target = name.split()
        best = _row(part, choice["best"])
        for way in WAYS:
            if (point := choice[way]) is None:
                found.append({"damage": damage, "target": float(target), "way": way})
                continue
            mine = _row(part, point)
            line = {**point, "damage": damage, "target": float(target), "way": way,
                    "of_dense": point["cost"] / dense, "foretold": point["damage"]}
            for what in ("kl", "loss", "right"):
                line[what] = _mean(mine[what])
                line[f"{what}_more"] = _mean(mine[what] - best[what])
            found.append(line)
    return found


def _row(part: Table, point: Table) -> dict[str, np.ndarray]:
    row = part["rows"][point_name(point["tokens"], point["sparsity"])]
    return {name: np.array(values) for name, values in row.items()}


def _mean(values: np.ndarray) -> tuple[float, float]:
    mean, error = spread(by_group(values.reshape(1, -1), np.repeat(
        np.arange(len(values)), values.shape[1]).astype(str).tolist()))
    return float(mean[0]), float(error[0])


_NAMES = {"best": "together", "tokens_alone": "tokens alone", "sparsity_alone": "sparsity alone"}


def show(table: Table, *, markdown: bool = False) -> None:
    """The choices and what came of them on held-out videos."""
    for scorer, part in table.items():
        if not markdown:
            facts = part["facts"]
            print(f"{scorer}: chosen on {facts['calibration_videos']} videos, {facts['method']}; "
                  f"reported on {facts['videos']} held-out videos")
    head = ("scorer", "chosen by", "operations", "way", "tokens", "sparsity",
            *(() if markdown else ("KL, nats", "loss")), "right %", "more of what it was chosen by",
            "more right", "than dense, all tokens")
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for scorer in (name for name in ("none", "self") if name in table):
        part = table[scorer]
        if "choices" not in part:
            continue
        dense = _row(part, {"tokens": ALL, "sparsity": 0.0})
        _print(scorer, "", "1", "dense, all tokens", ALL, "0 %",
               *(() if markdown else (0, _pm(_mean(dense["loss"])))),
               _pm(_mean(dense["right"]), 100, 1), "", "", "")
        for line in lines(part):
            way = _NAMES[line["way"]]
            if "tokens" not in line:
                _print(scorer, line["damage"], f"{line['target']:g}", way, "out of reach",
                       *[""] * (len(head) - 5))
                continue
            more = ("", "") if line["way"] == "best" else (
                _pm(line[line["damage"] + "_more"], sign=True),
                _pm(line["right_more"], 100, 1, sign=True))
            _print(scorer, line["damage"], f"{line['of_dense']:.2f} of {line['target']:g}", way,
                   line["tokens"], f"{100 * line['sparsity']:.3g} %",
                   *(() if markdown else (_pm(line["kl"]), _pm(line["loss"]))),
                   _pm(line["right"], 100, 1), *more,
                   _pm(_mean(_row(part, line)["right"] - dense["right"]), 100, 1, sign=True))
        spent = np.array(part["measured"]["flops"]) / part["measured"]["dense_flops"]
        if not markdown:
            print(f"{scorer}: operations begin at {spent[:, 0].min():.2f} with tokens alone, "
                  f"{spent[-1].min():.2f} with sparsity alone, {spent.min():.2f} together")
        for damage in DAMAGES:
            cross = part["measured"]["cross"][damage]
            if not markdown:
                print(f"{scorer}, {damage}: together {100 * cross['share']:+.0f} ± "
                      f"{100 * cross['share_stderr']:.0f} % of the sum of both alone")


def _print(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


def _pm(value: tuple[float, float], scale: float = 1.0, digits: int = 2, *, sign: bool = False
        ) -> str:
    mean = f"{scale * value[0]:{'+' if sign else ''}.{digits}f}"
    return f"{mean} ± {scale * value[1]:.{digits}f}"


def draw(table: Table, scorer: str, damage: str, path: str) -> None:
    """The surface and the choices of the middle target."""
    from neurosparse.report import joined as figure_of

    whole = curves(table[scorer]["measured"], damage)
    choice = table[scorer]["choices"][f"{damage} {TARGETS[scorer][1]:g}"]
    made = JoinedChoice(*(None if choice[way] is None else JoinedPoint(**choice[way])
                          for way in WAYS))  # type: ignore[arg-type]
    figure_of(surface(whole), whole, made).savefig(path, dpi=110, facecolor="white")


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="out/small-video/model")
    parser.add_argument("--out", default="docs/measured/joined.json")
    parser.add_argument("--cache", default="build/table-joined")
    parser.add_argument("--scorers", nargs="+", choices=list(TARGETS), default=["none", "self"])
    parser.add_argument("--calibration", type=int, default=16, help="videos")
    parser.add_argument("--videos", type=int, default=50, help="held-out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--method", default="wanda")
    parser.add_argument("--figure", help="a PNG to draw into")
    parser.add_argument("--damage", default="kl", choices=DAMAGES, help="of the figure")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.calibration, arguments.videos, arguments.scorers = 2, 2, ["none"]
        if arguments.out == parser.get_default("out"):
            arguments.out = "build/table-joined/quick.json"
        arguments.cache = f"{arguments.cache}/quick"
    reading = arguments.show or arguments.markdown or arguments.figure
    table = json.loads(Path(arguments.out).read_text()) if reading else run(arguments)
    if arguments.figure:
        draw(table, arguments.scorers[0], arguments.damage, arguments.figure)
    show(table, markdown=arguments.markdown)


if __name__ == "__main__":
    main()
