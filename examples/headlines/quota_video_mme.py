"""QuoTA's headline: LLaVA-Video-7B on Video-MME, tokens shared evenly against by the question.

    python examples/headlines/quota_video_mme.py MODEL --scorer SCORER --table TABLE --videos DIR
    python examples/headlines/quota_video_mme.py --tiny

The paper (arXiv 2503.08689) reports 63.3 without QuoTA (64 frames, 14 x 14 tokens each) and 65.9
with it (96 frames and 64 more for each hour, scored), both at 12,544 tokens and without subtitles.
MODEL is LLaVA-Video-7B-Qwen2 as it is published (it is rewritten to --converted once), SCORER
Qwen2-VL-2B-Instruct, TABLE the parquet file of Video-MME, DIR its videos, named by `videoID`:

    --table videomme/test-00000-of-00001.parquet --videos data --device cuda --dtype bfloat16

Killed runs go on where they were. Scores are normalised over both letters and both orders of the
options; `--guard` also mixes them towards uniform, which the paper does not.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tiny_video import write_tiny_models, write_tiny_table

from neurosparse.pipeline import VideoOptions, video_eval


def parse() -> argparse.Namespace:
    """The arguments; those of the paper by default."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--scorer", default="self")
    parser.add_argument("--table")
    parser.add_argument("--videos")
    parser.add_argument("--token-budget", type=int, default=12_544)
    parser.add_argument("--frames", type=int, default=64, help="of the even share")
    parser.add_argument("--side", type=int, default=768, help="pixels that frames are held at")
    parser.add_argument("--limit", type=int, help="only so many questions, drawn")
    parser.add_argument("--guard", action="store_true")
    parser.add_argument("--converted", default="out/llava-video")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", default="out/quota-headline")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    if not arguments.tiny and None in (arguments.model, arguments.table, arguments.videos):
        parser.error("name the model, --table and --videos, or --tiny")
    return arguments


def write_records(table: str, videos: str, out: Path) -> Path:
    """The questions of Video-MME as `neurosparse video eval` takes them."""
    from pyarrow import parquet

    files = {path.stem: path for path in sorted(Path(videos).iterdir())
             if path.suffix.lower() in (".mp4", ".mkv", ".webm", ".avi", ".mov")}
    lines = []
    for row in parquet.read_table(table).to_pylist():
        video = files.get(row["videoID"], Path(videos) / f"{row['videoID']}.mp4")
        lines.append(json.dumps({"video": str(video.resolve()), "question": row["question"],
                                 "options": list(row["options"]), "answer": row["answer"],
                                 "group": row["duration"]}))
    out.mkdir(parents=True, exist_ok=True)
    path = out / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def right_answers(folder: Path) -> dict[int, bool]:
    """Whether each question that was answered was answered right, by its number."""
    lines = map(json.loads, (folder / "answers.jsonl").read_text().splitlines()[1:])
    return {one["number"]: one["correct"] for one in lines if "error" not in one}


def main() -> None:
    """An even share, then QuoTA; the difference with its paired error."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        out, table, videos = Path(arguments.out), arguments.table, arguments.videos
        quota = VideoOptions(
            model=arguments.model or "", token_budget=arguments.token_budget,
            scorer=arguments.scorer, guard=arguments.guard, side=arguments.side,
            cache=str(out / "scores"), max_new_tokens=16, dtype=arguments.dtype,
            device=arguments.device, converted=arguments.converted)
        even = replace(quota, scorer="none", frames=arguments.frames)
        if arguments.tiny:
            out = Path(folder) / "out"
            model, scorer = write_tiny_models(Path(folder))
            table, videos = write_tiny_table(Path(folder))
            quota = replace(quota, model=model, scorer=scorer, cache=str(out / "scores"),
                            token_budget=64, max_new_tokens=2)
            even = replace(quota, scorer="none", frames=4)
        questions = write_records(table, videos, out)
        found: dict[str, Any] = {}
        for name, options in (("even", even), ("quota", quota)):
            found[name] = video_eval(options, questions, out=out / name, limit=arguments.limit,
                                     resume=True)
        before, after = right_answers(out / "even"), right_answers(out / "quota")
    both = sorted(before.keys() & after.keys())
    change = np.array([float(after[number]) - float(before[number]) for number in both])
    error = change.std(ddof=1) / len(change) ** 0.5 if len(change) > 1 else float("nan")
    for name, one in found.items():
        groups = ", ".join(f"{group} {part['accuracy']:.1%}"
                           for group, part in one["groups"].items())
        print(f"{name:<6} {one['accuracy']:.1%} ± {one['stderr']:.1%} on {one['questions']} "
              f"questions at {one['tokens']:,.0f} tokens ({groups}); "
              f"{sum(one['seconds'].values()):.2f} s a question, {one['failed']} failed")
    print(f"QuoTA gives {100 * change.mean():+.1f} ± {100 * error:.1f} points on the same "
          f"{len(both)} questions (the paper: 63.3 -> 65.9, +2.6)")


if __name__ == "__main__":
    main()
