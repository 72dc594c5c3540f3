"""Where the time of a question about a video goes: decoding, scoring, resizing, answering.

Run: python benchmarks/bench_video.py [--model out/small-video/model] [--out FILE]
     python benchmarks/bench_video.py --quick

Clips of the held-out part are written to files without loss and asked through ``video.ask``, whose
steps are timed apart: decode, decouple (the list of what must be seen), score, encode (vision part
and projector), resize, answer. Rows: even shares at the budget and at twice the budget; QuoTA with
the model as its own scorer at full and at lower resolution, with and without decoupling. The rows
take turns on every clip; medians over clips of the sums over a clip's questions, and the share that
is answered right beside them.
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
from neurosparse.video import AskedScorer, ask, load_processor

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "video"))
from small_videos import PLACES, make, write_clip

STEPS = ("decode", "decouple", "score", "encode", "resize", "answer")
FULL, FRAMES = PLACES**2, 24


def even(pictures: Any, question: str) -> np.ndarray:
    """No scorer."""
    return np.ones(len(pictures))


def ways(model: Any, processor: Any, budget: int) -> dict[str, dict[str, Any]]:
    """Arguments of ``ask`` by row."""
    scorers = {tokens: AskedScorer(model, processor, tokens=tokens) for tokens in (FULL, 9, 4)}
    return {
        "even shares": {"scorer": even, "decoupling": "off", "token_budget": budget},
        "even shares, twice the budget": {"scorer": even, "decoupling": "off",
                                          "token_budget": 2 * budget},
        **{f"QuoTA, frames scored with {tokens} tokens": {"scorer": scorer,
                                                          "token_budget": budget}
           for tokens, scorer in scorers.items()},
        "QuoTA, not decoupled": {"scorer": scorers[FULL], "decoupling": "off",
                                 "token_budget": budget},
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each step by row, a median over clips, and accuracy."""
    model = AutoModelForImageTextToText.from_pretrained(arguments.model).eval()
    processor = load_processor(arguments.model)
    rows = ways(model, processor, arguments.budget)
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    right: dict[str, list[bool]] = {name: [] for name in rows}
    rng = np.random.default_rng([2, 1])
    with tempfile.TemporaryDirectory() as folder:
        for clip in range(arguments.clips + 1):
            scene = make(rng, FRAMES, held_out=True)
            path = Path(folder) / f"{clip}.mp4"
            write_clip(path, scene.pictures)
            for name, how in rows.items():
                total = dict.fromkeys((*STEPS, "total"), 0.0)
                for one in scene.asked:
                    begin = time.perf_counter()
                    found = ask(model, processor, path, one.question, options=one.options,
                                frames=FRAMES, max_new_tokens=3, batch=FRAMES, **how)
                    total["total"] += time.perf_counter() - begin
                    for step in STEPS:
                        total[step] += found.seconds[step]
                    if clip:
                        right[name].append(found.text == one.answer)
                if clip:  # the first warms up
                    spent[name].append({step: value / len(scene.asked)
                                        for step, value in total.items()})
    return {"budget": arguments.budget, "clips": arguments.clips, "frames": FRAMES,
            "threads": torch.get_num_threads(), "rows": {
                name: {"seconds": {step: statistics.median(one[step] for one in spent[name])
                                   for step in (*STEPS, "total")},
                       "accuracy": float(np.mean(right[name]))} for name in rows}}


def show(found: dict[str, Any]) -> None:
    """Milliseconds a question, and the ratio to even shares at twice the budget."""
    print(f"ms a question; {found['frames']} frames, {found['budget']} tokens, "
          f"{found['threads']} threads, median of {found['clips']} clips")
    print(f"{'':<40}" + "".join(f"{step:>10}" for step in (*STEPS, "total"))
          + "  to twice   right")
    twice = found["rows"]["even shares, twice the budget"]["seconds"]["total"]
    for name, row in found["rows"].items():
        print(f"{name:<40}" + "".join(f"{1000 * row['seconds'][step]:10.2f}"
                                      for step in (*STEPS, "total"))
              + f"{row['seconds']['total'] / twice:10.2f}{row['accuracy']:8.1%}")


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="out/small-video/model")
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--clips", type=int, default=15)
    parser.add_argument("--out", default="docs/measured/bench_video.json")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.clips, arguments.out = 1, "build/bench_video_quick.json"
    if arguments.show:
        found = json.loads(Path(arguments.out).read_text())
    else:
        found = measure(arguments)
        Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out, found)
    show(found)


if __name__ == "__main__":
    main()
