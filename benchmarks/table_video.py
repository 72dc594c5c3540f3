"""The table of token budgets: accuracy of a small trained video model by way and budget.

Run: python examples/video/train_small.py --out out/small-video      trains the model
     python benchmarks/table_video.py                   asks it (goes on where it was stopped)
     python benchmarks/table_video.py --show            prints the table from what is there
     python benchmarks/table_video.py --figure FILE     draws it
     python benchmarks/table_video.py --quick           few questions, to see that it runs

Held-out videos (layouts, questions with their options) of 24 frames of 25 tokens, four questions
each, asked with their options as ``neurosparse video eval`` asks them; right is the word that the
model says first. Budgets are 1, 2, 4, 6 and 8 of the 24 whole frames. Every row shows the same
videos; a difference is paired by video: the mean over its questions and the five budgets.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from video_bench import BUDGETS, FRAMES, FULL, Bench, digest
from video_rows import BLIND, ROWS, by_attention

from neurosparse.files import write_json

Cells = dict[str, Any]
_BASE = "pooling, bilinear"
# What is drawn: one resizer stands for all, and planted scorers for those with a guard.
_DRAWN = ("all tokens", *BLIND, "AKS, own scores", "attention pruning", "QuoTA, bilinear",
          "QuoTA, not decoupled", *(name for name in ROWS if name.startswith("planted")
                                    and "apart" not in name))


def run(arguments: argparse.Namespace) -> Cells:
    """Answer what is not answered yet, writing after every row."""
    path = Path(arguments.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    table: Cells = json.loads(path.read_text()) if path.is_file() else {}
    bench = Bench(Path(arguments.model), arguments.videos, arguments.seed,
                  Path(arguments.cache), held_out=not arguments.validation)
    facts = {"model": digest(Path(arguments.model)), "videos": arguments.videos,
             "seed": arguments.seed, "held_out": not arguments.validation, "frames": FRAMES,
             "frame_tokens": FULL[0] * FULL[1], "budgets": list(BUDGETS),
             "kinds": [one.kind for one in bench.scenes[0].asked],
             "options": [[len(one.options) for one in scene.asked] for scene in bench.scenes]}
    if table.setdefault("facts", facts) != json.loads(json.dumps(facts)):
        raise SystemExit(f"{path} is of another model or of other videos: name another --out")
    rows = table.setdefault("rows", {})
    if "all tokens" not in rows:
        full = FRAMES * FULL[0] * FULL[1]
        rows["all tokens"] = {str(full): bench.answers(ROWS[_BASE], full)}
    for name in arguments.rows or [*ROWS, "attention pruning"]:
        if name in rows:
            continue
        begin = time.process_time()
        rows[name] = (by_attention(bench) if name == "attention pruning" else
                      {str(budget): bench.answers(ROWS[name], budget) for budget in BUDGETS})
        shares = [f"{mean(found):6.1%}" for found in rows[name].values()]
        print(f"{name:<44}", *shares, f"{time.process_time() - begin:6.1f} s", flush=True)
        # Scorers of rows that were answered in an earlier run are kept.
        table["scores"] = {**table.get("scores", {}), **bench.quality()}
        write_json(path, table)
    return table


def mean(found: list[str]) -> float:
    """Share of right answers of a cell: a text of 0 and 1 a video."""
    return float(np.mean([int(one) for text in found for one in text]))


def of_videos(cells: dict[str, list[str]]) -> np.ndarray:
    """Right answers by budget, video and question: shape (budgets, videos, questions)."""
    return np.array([[[int(one) for one in text] for text in found] for found in cells.values()])


def paired(first: dict[str, list[str]], second: dict[str, list[str]]) -> tuple[float, float]:
    """Difference of the means over all budgets, and its error over videos."""
    gap = (of_videos(first) - of_videos(second)).mean(axis=(0, 2))
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))


def best_blind(rows: Cells) -> str:
    """The best of the rows that do not know the question."""
    return max((name for name in BLIND if name in rows),
               key=lambda name: of_videos(rows[name]).mean())


def markdown(table: Cells) -> None:
    """The same as the documentation has it."""
    rows, blind = table["rows"], best_blind(table["rows"])
    print("| | " + " | ".join(map(str, table["facts"]["budgets"])) + f" | mean | to {blind} |")
    print("|---|" + "---|" * (len(BUDGETS) + 2))
    for name in (*BLIND, "attention pruning", *(name for name in ROWS if name not in BLIND)):
        if (cells := rows.get(name)) is None:
            continue
        gap, error = paired(cells, rows[blind])
        last = "" if name == blind else f"{100 * gap:+.1f} ± {100 * error:.1f}"
        print(f"| {name} | " + " | ".join(f"{100 * mean(found):.1f}" for found in cells.values())
              + f" | {100 * of_videos(cells).mean():.1f} | {last} |")


def compare(rows: Cells, to: str) -> None:
    """Percentage points of every row above one, paired, budget by budget and over all."""
    for name, cells in rows.items():
        if name == to or cells.keys() != rows[to].keys():
            continue
        gaps = [paired({one: cells[one]}, {one: rows[to][one]}) for one in cells]
        gaps.append(paired(cells, rows[to]))
        print(f"{name:<44}" + "".join(f"{f'{100 * gap:+.1f} ± {100 * error:.1f}':>14}"
                                      for gap, error in gaps))


def show(table: Cells) -> None:
    """Accuracy by row and budget; mean; paired differences to even pooling and the best blind."""
    rows, facts = table["rows"], table["facts"]
    chance = np.mean([[1 / count for count in some] for some in facts["options"]])
    whole = rows["all tokens"]
    print(f"{facts['videos']} videos with {len(facts['kinds'])} questions each; a guess among the "
          f"options is right {chance:.1%}")
    by_kind = of_videos(whole).mean(axis=(0, 1))
    print(f"all tokens: {of_videos(whole).mean():.1%} ("
          + ", ".join(f"{kind} {share:.1%}" for kind, share in
                      zip(facts["kinds"], by_kind, strict=True)) + ")")
    blind = best_blind(rows)
    head = "".join(f"{budget:>8}" for budget in facts["budgets"])
    print(f"\n{'':<44}{head}    mean   to even pooling   to {blind}")
    for name in [*BLIND, *(name for name in rows if name not in BLIND and name != "all tokens")]:
        if name not in rows:
            continue
        shares = "".join(f"{mean(found):8.1%}" for found in rows[name].values())
        gaps = []
        for other in (_BASE, blind):
            gap, error = paired(rows[name], rows[other])
            gaps.append("" if name == other else f"{100 * gap:+.1f} ± {100 * error:.1f}")
        print(f"{name:<44}{shares}{of_videos(rows[name]).mean():8.1%}  {gaps[0]:>14}  "
              f"{gaps[1]:>14}")
    print("\nscorers: hits and false alarms at a score of 1/2, AUC, and the guard's mean trust")
    for name, one in table.get("scores", {}).items():
        print(f"{name:<44}{one['hit']:8.1%}{one['false_alarm']:8.1%}{one['auc']:8.3f}"
              f"{one['trust']:8.2f}")


def main() -> None:
    """Parse, ask, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="out/small-video/model")
    parser.add_argument("--out", default="docs/measured/video.json")
    parser.add_argument("--cache", default="build/table-video")
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, "attention pruning"])
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--validation", action="store_true",
                        help="videos of the training part, of another seed: to choose on")
    parser.add_argument("--figure", help="a PNG or SVG to draw the table into")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="print it for the documentation")
    parser.add_argument("--to", help="with --show: every row against this one, by budget")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.validation:
        arguments.out, arguments.seed = "build/table-video/validation.json", 1_000_001
    if arguments.quick:
        arguments.videos, arguments.out = 4, "build/table-video/quick.json"
    drawing = arguments.show or arguments.figure or arguments.markdown
    table = json.loads(Path(arguments.out).read_text()) if drawing else run(arguments)
    if arguments.figure:
        from neurosparse.report.figure_token_budgets import token_budgets

        figure = token_budgets({name: {int(budget): of_videos({budget: found}).mean(axis=(0, 2))
                                       for budget, found in cells.items()}
                                for name in _DRAWN if (cells := table["rows"].get(name))}, BLIND)
        figure.savefig(arguments.figure, dpi=110, facecolor="white")
    if arguments.to:
        compare(table["rows"], arguments.to)
        return
    (markdown if arguments.markdown else show)(table)


if __name__ == "__main__":
    main()
