"""Does a search help, and does a language model? Proposers at equal evaluations, one archive each.

Run: make table-search       (SmolLM2 at 30 %, 100 evaluations on 4 windows of 256, 3 seeds; goes on
                             where it was stopped)
     python benchmarks/table_search.py --controls    other partners in the model's place, too
     python benchmarks/table_search.py --full     20, 30 and 50 %, 430 evaluations
     python benchmarks/table_search.py --show     prints the table from what is there
     python benchmarks/table_search.py --show --markdown    as docs/structured.md has it
     python benchmarks/table_search.py --show --between llm    means over seeds, beside one row's
     python benchmarks/table_search.py --evaluations 40    a shorter one, whose archives go on
     python benchmarks/table_search.py --rows llm --seeds 1    rows by name
     python benchmarks/table_search.py --workers 1    one row after the other, with all threads
     python benchmarks/table_search.py --model gemma3-270m --rows uniform propagation
         --out docs/measured/search_gemma.json --archives build/table-search-gemma
     python benchmarks/table_search.py --quick    few evaluations, to see that it runs

Every row: the best of its evaluations on the *selection* text (rates of every attention and
feed-forward map, output weights solved from dense statistics), then cut as the commands do by
default (FLAP, query heads, least squares, 16 calibration windows of 512) and reported on the first
16 report windows of docs/protocol.md. Rows with 0 evaluations are budgets of rules. ``llm
permuted`` sees the parts in another order, ``llm blind`` no fitness; ``silent`` gives no answer,
so that the fallback of mutations proposes all; ``ignorant`` answers in the model's place with
numbers drawn at random, ``counting`` with numbers that count upwards (``ignorant_answers.py``);
``ideal answers`` is the same dialogue with answers that know the measured damage, a number a part
(``ideal_answers.py``).
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from ideal_answers import IdealAnswers
from ignorant_answers import CountingAnswers, IgnorantAnswers
from side_by_side import side_by_side

import neurosparse as ns
from neurosparse.budgets import Budget
from neurosparse.files import write_json
from neurosparse.measure import Perplexity, paired_difference, protocol
from neurosparse.models import LoadedModel, products_of
from neurosparse.pipeline.local_completion import LocalCompletion
from neurosparse.pipeline.structured_fitness import StructuredFitness
from neurosparse.pipeline.structured_rates import rates_by_rule, rates_of_sites
from neurosparse.pruning.structured import find_groups, make_ladders, prune_structured
from neurosparse.search import make_proposer, rate_space, search
from neurosparse.search.proposers.llm import NUMBERS

DIALOGUE = {"proposer": "llm", "population": 8, "at_once": 2, "retries": 1}
# One configuration an answer: asked for more, the model counts them. And no second question.
LLM = {**DIALOGUE, "at_once": 1, "retries": 0}
ROWS: dict[str, dict[str, Any]] = {
    "uniform": {}, "propagation": {},
    "line": {"proposer": "line"}, "evolution": {"proposer": "evolution"},
    "evolution from propagation": {"proposer": "evolution", "start": "propagation"},
    "random": {"proposer": "random"}, "tpe": {"proposer": "tpe"}, "cma": {"proposer": "cma"},
    "ideal answers": {**DIALOGUE, "ideal": True, "numbers": None},
    "llm": LLM, "llm permuted": {**LLM, "permuted": True},
    "llm blind": {**LLM, "show_fitness": False}, "ignorant": {**LLM, "ignorant": True},
    "counting": {**LLM, "counting": True},
    "silent": {**LLM, "silent": True},
}
RULES = ("uniform", "propagation")
CONTROLS = ("ignorant", "counting", "silent")
"""Partners in the model's place; as long again as the model's own rows, so only when asked for."""
METRIC, HEADS = "flap", "queries"
ANSWER = 120
"""Tokens of an answer at most: one configuration of 12 numbers takes about 40."""


class Bench:
    """The model, its scores, the texts."""

    def __init__(self, name: str, *, windows: int, folder: Path) -> None:
        self.name, self.folder = name, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.loaded: LoadedModel = ns.models.load(name)
        tokenizer = self.loaded.tokenizer

        def cut(side: str, length: int, count: int) -> Any:
            return ns.models.windows(tokenizer, protocol.side(side), length=length, count=count)

        self.calibration, self.report = cut("calibration", 512, 16), cut("report", 512, 16)
        self.model: Any = self.loaded.model
        self.dtype = products_of(self.model, "auto")
        self.groups = find_groups(self.model, heads=HEADS)
        scores, self.ladders = make_ladders(self.model, self.calibration, self.groups,
                                            method=METRIC, dtype=self.dtype)
        self.fitness = StructuredFitness(self.model, self.groups, scores,
                                         cut("selection", 256, windows), ladders=self.ladders,
                                         dtype=self.dtype)

    def of_rule(self, rule: str, rate: float) -> Budget:
        """Budget of a rule, with no evaluation; kept in a file."""
        path = self.folder / f"{rule}-{rate}.json"
        if not path.is_file():
            rates_by_rule(self.model, self.calibration, self.groups, rate, rule, metric=METRIC,
                          ladders=self.ladders).write(path)
        return Budget.read(path)

    def search(self, row: str, rate: float, seed: int, evaluations: int, archive: Path
               ) -> dict[str, Any]:
        """Best budget of a proposer, and how it went."""
        options = dict(ROWS[row])
        space = rate_space([group.whole for group in self.groups], rate, upper=0.95,
                           names=[group.name for group in self.groups])
        name, start = options.pop("proposer"), options.pop("start", "uniform")
        if options.pop("permuted", False):
            options["order"] = np.random.default_rng(seed).permutation(NUMBERS).tolist()
        if options.pop("silent", False):
            options["complete"] = lambda prompt: ""
        elif options.pop("ignorant", False):
            options["complete"] = IgnorantAnswers(seed=seed)
        elif options.pop("counting", False):
            options["complete"] = CountingAnswers(seed=seed)
        elif options.pop("ideal", False):
            options["complete"] = IdealAnswers(space, self.of_rule("propagation", rate),
                                               self.ladders, seed=seed)
        elif name == "llm":
            options["complete"] = LocalCompletion(self.loaded, self.name, seed=seed,
                                                  max_tokens=ANSWER)
        if name == "line":
            options["position"] = [group.site.block for group in self.groups]
        else:
            options["start"] = [rates_of_sites(self.model, self.groups, self.of_rule(start, rate))]
        began = time.perf_counter()
        found = search(space, self.fitness, make_proposer(name, space, seed=seed, **options),
                       evaluations, archive=archive)
        return {"budget": found.budget(), "selection": found.value, "record": found.record,
                "evaluated": len(found.values()), "search_seconds": time.perf_counter() - began,
                "best_so_far": np.minimum.accumulate(found.values()).tolist()}

    def reported(self, budget: Budget) -> tuple[float, Perplexity]:
        """Fitness of a budget, and the perplexity of a fresh model that is cut by it."""
        model: Any = ns.models.load(self.name).model
        prune_structured(model, budget, self.calibration, method=METRIC, heads=HEADS,
                         dtype=self.dtype)
        return self.fitness(budget), ns.measure.perplexity(model, self.report, batch_size=2)


def key_of(arguments: argparse.Namespace, row: str, rate: float, seed: int) -> str:
    """What the table calls it: a rule has neither evaluations nor seeds."""
    return f"{row}|{rate}|" + ("0|0" if row in RULES else f"{arguments.evaluations}|{seed}")


def run(arguments: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Measure what is not there yet, writing after every row; rules first, searches begin there."""
    table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    rows = [(row, rate, seed) for rate in arguments.rates for seed in range(arguments.seeds)
            for row in arguments.rows]
    options = (arguments.model, arguments.windows, arguments.archives, arguments.evaluations)
    begin = time.perf_counter()
    for rules in (True, False):
        wanted = {key_of(arguments, *one): one for one in rows
                  if (one[0] in RULES) == rules and key_of(arguments, *one) not in table}
        # What talks takes longest: it must not be what all wait for in the end.
        first = sorted(wanted.values(), key=lambda one: "llm" not in one[0])
        for one, found in side_by_side(functools.partial(row_of, options), first,
                                       arguments.workers):
            key = key_of(arguments, *one)
            table[key] = found
            write_json(path, table)
            print(f"{key:<44} {found['perplexity']:8.2f}  {found['seconds']:.0f} s, "
                  f"{(time.perf_counter() - begin) / 60:.0f} min in all", flush=True)
    return table


@functools.cache
def bench_of(model: str, windows: int, folder: str) -> Bench:
    """One a process."""
    return Bench(model, windows=windows, folder=Path(folder))


def row_of(options: tuple[str, int, str, int], row: str, rate: float, seed: int
           ) -> dict[str, Any]:
    """One row: the search or the rule, and what the report text says of its budget."""
    bench, evaluations = bench_of(*options[:3]), options[3]
    begin = time.perf_counter()
    about: dict[str, Any] = {"evaluated": 0}
    if row in RULES:
        budget = bench.of_rule(row, rate)
    else:
        # A budget of more evaluations goes on where one of fewer ended.
        archive = bench.folder / f"{row.replace(' ', '-')}-{rate}-{seed}.jsonl"
        about = bench.search(row, rate, seed, evaluations, archive)
        budget = about.pop("budget")
    spent = time.perf_counter() - begin
    selection, found = bench.reported(budget)
    return {"selection": selection, **about, "perplexity": found.value, "nll": found.nll.tolist(),
            "predictions": found.predictions, "seconds": round(spent, 1)}


def perplexity_of(row: dict[str, Any]) -> Perplexity:
    """As it was measured."""
    return Perplexity(np.array(row["nll"]), row["predictions"])


def course(row: dict[str, Any]) -> str:
    """How a search went: where its best was found, and what the dialogue counted."""
    said = (row.get("record") or {}).get("record") or {}
    best = row.get("best_so_far")
    return (f"best at {int(np.argmin(best))}" if best else "") + (
        f", valid {said['valid']} of {said['answers']}, its own {said['accepted']} of "
        f"{said['wanted']}, tokens {said['tokens']}" if said else "")


def show(table: dict[str, Any], to: str = "uniform") -> None:
    """Means over seeds, and each one's paired gap to a row's first; a rule has one row for all."""
    for rate, evaluations in sorted({tuple(key.split("|")[1:3]) for key in table
                                     if key.split("|")[0] not in RULES}):
        print(f"\n{rate} cut, {evaluations} evaluations")
        base = f"{to}|{rate}|{0 if to in RULES else evaluations}|0"
        for row in ROWS:
            start = f"{row}|{rate}|{0 if row in RULES else evaluations}|"
            keys = sorted(key for key in table if key.startswith(start))
            if not keys:
                continue
            values = np.array([table[key]["perplexity"] for key in keys])
            chosen = np.mean([table[key]["selection"] for key in keys])
            gaps = [paired_difference(*(perplexity_of(table[one]) for one in (base, key)))
                    for key in keys if base in table]
            print(f"  {row:<28} {np.exp(np.log(values).mean()):8.2f}  selection {chosen:.4f}, "
                  f"seeds {len(keys)}, {values.min():.2f} to {values.max():.2f}, evaluations "
                  f"{table[keys[0]]['evaluated']}; to {to} "
                  + ", ".join(f"{mean:+.3f} +- {error:.3f}" for mean, error in gaps)
                  + "".join(f"; {course(table[key])}" for key in keys if row not in RULES))


def between(table: dict[str, Any], rate: float, evaluations: int, to: str) -> None:
    """Mean over seeds of every search less that of one, its error from how much seeds differ."""
    found = {}
    for row in ROWS:
        start = f"{row}|{rate}|{evaluations}|"
        seeds = [perplexity_of(table[key]).nll.mean() for key in sorted(table)
                 if key.startswith(start)]
        if len(seeds) > 1:
            found[row] = np.mean(seeds), np.var(seeds, ddof=1) / len(seeds)
    for row, (mean, square) in found.items():
        print(f"  {row:<28} {np.exp(mean):8.2f}  to {to} {mean - found[to][0]:+.3f} +- "
              f"{np.sqrt(square + found[to][1]) if row != to else 0:.3f} (over seeds)")


_SAID = {"line": "line (ATP)", "cma": "CMA-ES", "tpe": "TPE", "propagation": "`propagation`",
         "evolution from propagation": "evolution from `propagation`",
         "llm": "SmolLM2 asked (`llm`)", "llm permuted": "other parts behind the names "
         "(`llm permuted`)", "llm blind": "without values (`llm blind`)",
         "ignorant": "random numbers in the model's place (`ignorant`)",
         "counting": "numbers that count upwards (`counting`)",
         "silent": "no answer, mutations alone (`silent`)",
         "ideal answers": "ideal answers through the dialogue"}


def markdown(table: dict[str, Any], rate: float, evaluations: int, to: str = "uniform") -> None:
    """A line a row, its seeds side by side; gaps of each to one row."""
    base = f"{to}|{rate}|0|0"
    print(f"| row | evaluations | selection | report | to {to} |\n|---|---|---|---|---|")
    for row in ROWS:
        start = f"{row}|{rate}|{0 if row in RULES else evaluations}|"
        keys = sorted(key for key in table if key.startswith(start))
        if not keys:
            continue
        gaps = [paired_difference(*(perplexity_of(table[one]) for one in (base, key)))
                for key in keys]
        print(f"| {_SAID.get(row, row)} | {table[keys[0]]['evaluated']} | "
              + ", ".join(f"{table[key]['selection']:.3f}" for key in keys) + " | "
              + ", ".join(f"{table[key]['perplexity']:.2f}" for key in keys) + " | "
              + ", ".join(f"{mean:+.3f} ± {error:.3f}" for mean, error in gaps if row != to)
              + " |")


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rows", nargs="+", default=[row for row in ROWS if row not in CONTROLS])
    parser.add_argument("--controls", action="store_true",
                        help="other partners in the model's place, too: " + ", ".join(CONTROLS))
    parser.add_argument("--rates", nargs="+", type=float, default=[0.3])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2,
                        help="processes, each with its share of the threads and its own model")
    parser.add_argument("--out", default="docs/measured/search.json")
    parser.add_argument("--archives", default="build/table-search")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--to", default="uniform", choices=list(ROWS),
                        help="the row that gaps are taken to")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--between", metavar="ROW", choices=list(ROWS),
                        help="with --show: means over seeds and their gaps to one search")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if arguments.controls:
        arguments.rows += CONTROLS
    if arguments.full:
        arguments.rates, arguments.evaluations = [0.2, 0.3, 0.5], 430
    if arguments.quick:
        arguments.evaluations, arguments.seeds, arguments.windows = 3, 1, 1
        arguments.rows = ["propagation", "line", "ideal answers"]
        arguments.out, arguments.archives = "build/search-quick.json", "build/table-search-quick"
    path = Path(arguments.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = json.loads(path.read_text()) if arguments.show else run(arguments, path)
    if arguments.between:
        between(table, arguments.rates[0], arguments.evaluations, arguments.between)
    elif arguments.markdown:
        markdown(table, arguments.rates[0], arguments.evaluations,
                 arguments.to if arguments.to in RULES else "uniform")
    else:
        show(table, arguments.to)


if __name__ == "__main__":
    main()
