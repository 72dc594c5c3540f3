"""Where the time of a question about a video goes: decoding, scoring, resizing, answering.

Run: python benchmarks/bench_video.py [--model out/small-video/model] [--out FILE]
     python benchmarks/bench_video.py --quick
     python benchmarks/bench_video.py --show [--markdown]     from what is there
     python benchmarks/bench_video.py --count                 a 7B model, by operations alone

Clips of the held-out part are written to files without loss and asked through ``video.ask``, whose
steps are timed apart: decode, decouple (the list of what must be seen), score, encode (vision part
and projector), resize, answer. Rows: even shares at a budget and at twice the budget; QuoTA with
the model as its own scorer (asked both ways at once, or each for itself; of fewer tokens a frame;
coarse to fine) and by words (to the power 4 where it is not decoupled, as cosines are nearer to one
another than answers are). The rows take turns on every clip. Times are medians over clips of the
mean over a clip's questions, by the wall and of the processor; the ratio to twice the budget is the
median over clips of each clip's own ratio, of processor time, which other work on the machine
changes least. The share that is answered right stands beside them, and its paired difference to
QuoTA not decoupled, the best of the rows that ask of every frame: as ``ask`` shows the options,
this model's own lists are worse than none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText

from neurosparse.files import write_json
from neurosparse.video import AskedScorer, WordScorer, ask, load_processor

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "video"))
from small_videos import PLACES, make, write_clip

STEPS = ("decode", "decouple", "score", "encode", "resize", "answer")
FULL, FRAMES = PLACES**2, 24
EVEN, TWICE = "even shares", "even shares, twice the budget"
BEST = "QuoTA, not decoupled"


def even(pictures: Any, question: str) -> np.ndarray:
    """No scorer."""
    return np.ones(len(pictures))


def ways(model: Any, processor: Any, budget: int) -> dict[str, dict[str, Any]]:
    """Arguments of ``ask`` by row."""
    def own(**how: Any) -> AskedScorer:
        return AskedScorer(model, processor, **{"tokens": FULL, **how})

    scored: dict[str, dict[str, Any]] = {
        "QuoTA": {"scorer": own()},
        "QuoTA, ways of asking apart": {"scorer": own(share=False)},
        BEST: {"scorer": own(), "decoupling": "off"},
        "QuoTA, not decoupled, coarse": {"scorer": own(), "decoupling": "off",
                                         "scoring": "coarse"},
        "QuoTA, not decoupled, 9 tokens": {"scorer": own(tokens=9), "decoupling": "off"},
        "QuoTA, not decoupled, 4 tokens": {"scorer": own(tokens=4), "decoupling": "off"},
        "QuoTA, by words": {"scorer": WordScorer(model, processor)},
        "QuoTA, by words, not decoupled": {"scorer": WordScorer(model, processor),
                                           "decoupling": "off", "power": 4.0}}
    blind = {"scorer": even, "decoupling": "off"}
    return {EVEN: {**blind, "token_budget": budget},
            TWICE: {**blind, "token_budget": 2 * budget},
            **{name: {**how, "token_budget": budget} for name, how in scored.items()}}


def asked(model: Any, processor: Any, path: Path, scene: Any, how: dict[str, Any]
          ) -> tuple[dict[str, float], dict[str, float], list[bool]]:
    """Seconds a question by step, by the wall and of the processor, and what was right."""
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    spent = {clock: dict.fromkeys((*STEPS, "total"), 0.0) for clock in clocks}
    right = []
    for one in scene.asked:
        begin = {clock: read() for clock, read in clocks.items()}
        found = ask(model, processor, path, one.question, options=one.options, frames=FRAMES,
                    max_new_tokens=3, batch=FRAMES, **how)
        steps = {"wall": found.seconds, "processor": found.processor_seconds}
        for clock, read in clocks.items():
            spent[clock]["total"] += (read() - begin[clock]) / len(scene.asked)
            for step in STEPS:
                spent[clock][step] += steps[clock][step] / len(scene.asked)
        right.append(found.text == one.answer)
    return spent["wall"], spent["processor"], right


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each step by budget and row, and accuracy."""
    model = AutoModelForImageTextToText.from_pretrained(arguments.model).eval()
    processor = load_processor(arguments.model)
    rows = {budget: ways(model, processor, budget) for budget in arguments.budgets}
    seen: dict[int, dict[str, list[Any]]] = {
        budget: {name: [] for name in some} for budget, some in rows.items()}
    rng = np.random.default_rng([2, 1])
    with tempfile.TemporaryDirectory() as folder:
        for clip in range(arguments.clips + 1):
            scene = make(rng, FRAMES, held_out=True)
            path = Path(folder) / f"{clip}.mp4"
            write_clip(path, scene.pictures)
            for budget, some in rows.items():
                for name, how in some.items():
                    found = asked(model, processor, path, scene, how)
                    if clip:  # the first warms up
                        seen[budget][name].append(found)
            path.unlink()
    return {"clips": arguments.clips, "frames": FRAMES, "frame_tokens": FULL,
            "threads": torch.get_num_threads(),
            "budgets": {str(budget): summary(found) for budget, found in seen.items()}}


def summary(seen: dict[str, list[Any]]) -> dict[str, Any]:
    """Medians over clips, ratios to twice the budget, accuracy and its difference to the best."""
    totals = {name: np.array([processor["total"] for _, processor, _ in some])
              for name, some in seen.items()}
    right = {name: np.array([one for _, _, one in some], float).mean(axis=1)
             for name, some in seen.items()}
    found = {}
    for name, some in seen.items():
        ratios = totals[name] / totals[TWICE]
        gap = right[name] - right[BEST]
        found[name] = {
            **{clock: {step: statistics.median(one[at][step] for one in some)
                       for step in (*STEPS, "total")}
               for at, clock in enumerate(("wall", "processor"))},
            "to_twice": [float(one) for one in np.quantile(ratios, (0.5, 0.25, 0.75))],
            "accuracy": float(right[name].mean()),
            "to_best": [float(gap.mean()),
                         float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else 0.0]}
    return found


def show(found: dict[str, Any], *, markdown: bool = False) -> None:
    """Milliseconds of the processor a question, and the ratio to twice the budget."""
    steps = (*STEPS, "total")
    for budget, rows in found["budgets"].items():
        if markdown:
            print(f"\n| {budget} tokens | " + " | ".join(steps)
                  + " | to twice | right | to own scores |\n|---|" + "---|" * (len(steps) + 3))
        else:
            print(f"\nms of the processor a question; {found['frames']} frames, {budget} tokens, "
                  f"{found['threads']} threads, median of {found['clips']} clips")
            print(f"{'':<34}" + "".join(f"{step:>9}" for step in steps)
                  + f"{'wall':>9}  to twice (quartiles)   right  to own scores")
        for name, row in rows.items():
            times = [1000 * row["processor"][step] for step in steps]
            middle, low, high = row["to_twice"]
            gap, error = row["to_best"]
            said = "" if name == BEST else f"{100 * gap:+.1f} ± {100 * error:.1f}"
            if markdown:
                print(f"| {name} | " + " | ".join(f"{one:.1f}" for one in times)
                      + f" | {middle:.2f} | {100 * row['accuracy']:.1f} | {said} |")
            else:
                print(f"{name:<34}" + "".join(f"{one:9.1f}" for one in times)
                      + f"{1000 * row['wall']['total']:9.1f}"
                      + f"{middle:10.2f} ({low:.2f} to {high:.2f}){row['accuracy']:8.1%}{said:>13}")


# LLaVA-OneVision-7B: a decoder of Qwen2-7B's shapes (width, layers, keys and values, inner width)
# and SigLIP so400m at 384 pixels (width, layers, inner width, patches).
_DECODER, _TOWER = (3584, 28, 512, 18944), (1152, 27, 4304, 729)
_CLIP = (1024, 24, 4096, 577)  # ViT-L/14 at 336 pixels
# Tokens of a question with its options and the template; of a scoring question up to its options;
# of its ending (options, template); of the prompt that decouples, and of its answer.
_ASKED, _TRUNK, _ENDING, _LIST, _LISTED = 80, 30, 20, 500, 40


def decoder_operations(tokens: int) -> float:
    """Of reading so many tokens: two for a product, attention as a full square."""
    width, layers, keys, inner = _DECODER
    weights = layers * (2 * width**2 + 2 * width * keys + 3 * width * inner)
    return 2.0 * weights * tokens + 4.0 * layers * width * tokens**2


def tower_operations(shape: tuple[int, int, int, int]) -> float:
    """Of one frame through a vision transformer."""
    width, layers, inner, patches = shape
    return (2.0 * layers * (4 * width**2 + 2 * width * inner) * patches
            + 4.0 * layers * width * patches**2)


def counted_ways(frames: int) -> dict[str, float]:
    """Operations of scoring, on top of encoding each frame once."""
    def apart(tokens: int) -> float:
        return frames * (2 * decoder_operations(tokens + _TRUNK + _ENDING)
                         + tower_operations(_TOWER))

    def shared(tokens: int) -> float:
        return frames * decoder_operations(tokens + _TRUNK + 2 * _ENDING)

    return {"own, 196 tokens, ways apart, frames encoded twice": apart(196),
            "own, 196 tokens": shared(196), "own, 9 tokens": shared(9),
            "own, 9 tokens, coarse (half of the frames)": shared(9) / 2,
            "another SigLIP so400m at 384": frames * tower_operations(_TOWER),
            "CLIP L/14 at 336": frames * tower_operations(_CLIP), "by words": 0.0}


def count(frames: int = 128, most: int = 196) -> None:
    """The ratio to twice the budget for a 7B model, with decoupling for all rows but by words."""
    budgets = [frames * most // part for part in (8, 4, 2)]
    vision = frames * tower_operations(_TOWER)
    listed = decoder_operations(_LIST) + _LISTED * decoder_operations(1)
    twice = [vision + decoder_operations(2 * budget + _ASKED) for budget in budgets]
    print(f"{frames} frames of {most} tokens; TFLOP at twice the budget: "
          + ", ".join(f"{budget:,}: {one / 1e12:.0f}"
                      for budget, one in zip(budgets, twice, strict=True)))
    print(f"{'scored':<52}{'TFLOP':>8}" + "".join(f"{budget:>10,}" for budget in budgets))
    for name, scoring in counted_ways(frames).items():
        extra = scoring + (0.0 if name == "by words" else listed)
        print(f"{name:<52}{extra / 1e12:8.0f}" + "".join(
            f"{(vision + extra + decoder_operations(budget + _ASKED)) / one:10.2f}"
            for budget, one in zip(budgets, twice, strict=True)))


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="out/small-video/model")
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--out", default="docs/measured/bench_video.json")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="as the documentation has it")
    parser.add_argument("--count", action="store_true",
                        help="operations of a 7B model; nothing is run")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.count:
        count()
        return
    if arguments.quick:
        arguments.clips, arguments.out = 1, "build/bench_video_quick.json"
    if arguments.show:
        found = json.loads(Path(arguments.out).read_text())
    else:
        found = measure(arguments)
        Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out, found)
    show(found, markdown=arguments.markdown)


if __name__ == "__main__":
    main()
