"""What a small language model answers to the four prompts of the search: valid or not, and why not.

    python benchmarks/table_answers.py [--answers 16] [--out FILE.json] [--show]

SmolLM2-135M-Instruct (dense: the model as it is between two evaluations) is asked for one
configuration, or for parents, as ``neurosparse search`` asks: 60 rates, 12 numbers. ``free`` writes
what it likes until the object is whole; ``shaped`` draws only tokens that keep to the form. The
configurations that the prompts show are drawn at random, their values come from a synthetic
fitness; what is counted is the form. An answer is *valid* if the strict reader takes it, and *new*
if what it proposes was not shown.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import neurosparse as ns
from neurosparse.files import write_json
from neurosparse.pipeline.local_completion import LocalCompletion
from neurosparse.pruning.structured import find_groups
from neurosparse.search import LlmProposer, RandomProposer, Synthetic, rate_space

PROMPTS = ("population", "selection", "crossover", "mutation")
ANSWER = 120


def asked(proposer: LlmProposer, prompt: str) -> None:
    """One question, whose answer is counted in the record."""
    shown = proposer.best(proposer.population)
    if prompt == "selection":
        proposer.dialogue.parents(proposer._fields(shown, 4), len(shown), 4)
        return
    parents = [] if prompt == "population" else shown[:4]
    proposer.dialogue.configurations(
        prompt, proposer._fields(parents, 1), 1, [*proposer.start, *proposer.configurations],
        [proposer.configurations[i] for i in parents] or [proposer.centre])


def measured(complete: LocalCompletion, space: Any, prompt: str, answers: int) -> dict[str, Any]:
    """Counts of one prompt; every answer after other configurations."""
    valid = new = 0
    written: list[int] = []
    refused: Counter[str] = Counter()
    begin = time.perf_counter()
    for seed in range(answers):
        proposer = LlmProposer(space, complete, population=8, retries=0, seed=seed)
        fitness = Synthetic.random(space, seed=seed)
        for each in RandomProposer(space, seed=seed).ask(8):
            proposer.tell(each, fitness(each))
        asked(proposer, prompt)
        record = proposer.record
        valid += record.valid
        new += record.valid if prompt == "selection" else record.accepted
        refused.update(record.refused)
        written.append(record.tokens[1])
    return {"answers": answers, "valid": valid, "new": new, "refused": dict(refused),
            "tokens": float(np.mean(written)), "prompt_tokens": (complete.last_usage or (0, 0))[0],
            "seconds": round((time.perf_counter() - begin) / answers, 2)}


def show(table: dict[str, Any]) -> None:
    """One line a prompt and way."""
    for key, row in table.items():
        print(f"{key:<24} valid {row['valid']:3} of {row['answers']}, new {row['new']:3}; prompt "
              f"{row['prompt_tokens']} tokens, answer {row['tokens']:.0f}, {row['seconds']:.2f} s; "
              f"refused {row['refused']}")


def main() -> None:
    """Ask all, writing after every prompt."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=16)
    parser.add_argument("--out", default="docs/measured/search_answers.json")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    path = Path(arguments.out)
    table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if not arguments.show:
        loaded = ns.models.load("smollm2")
        groups = find_groups(loaded.model, heads="queries")
        space = rate_space([group.whole for group in groups], 0.3, upper=0.95,
                           names=[group.name for group in groups])
        for way in ("free", "shaped"):
            complete = LocalCompletion(loaded, "smollm2", max_tokens=ANSWER, shaped=way == "shaped")
            for prompt in PROMPTS:
                if f"{way}|{prompt}" not in table:
                    table[f"{way}|{prompt}"] = measured(complete, space, prompt, arguments.answers)
                    write_json(path, table)
    show(table)


if __name__ == "__main__":
    main()
