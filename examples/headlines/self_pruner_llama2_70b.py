r"""Self-Pruner's headline: Llama-2-70B at 30 or 50 %, structures, rates searched.

    python examples/headlines/self_pruner_llama2_70b.py MODEL --calibration TRAIN \
        --selection VALIDATION --report-text TEST [--sparsity 0.5] [--proposer llm]
    python examples/headlines/self_pruner_llama2_70b.py --tiny

The paper (arXiv 2502.14413) reports a zero-shot mean lower by 0.80 points at 30 % (49B, 1.39x) and
by 3.80 points at 50 % (35B, 1.70x), from 430 evaluations that a language model proposes. Here the
rates of the rule `propagation` (no evaluation) stand beside uniform ones and beside what a search
makes of them; with `--proposer llm` the model that is pruned proposes. Rates are chosen on the
selection text and reported on another. MODEL is a folder or hub id, spread over all GPUs by
accelerate (`device_map="auto"`); with `--solved` the factors of all sites are kept, which the rule
needs, and evaluations solve output weights again (docs/structured.md has the memory). Texts are
files or `datasets:NAME:CONFIG:SPLIT`:

    --calibration datasets:allenai/c4:en:train
    --selection datasets:wikitext:wikitext-2-raw-v1:validation
    --report-text datasets:wikitext:wikitext-2-raw-v1:test

Accuracy afterwards: `lm_eval --model hf --model_args pretrained=OUT/cut`, in a process that has
called `neurosparse.register()`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from tiny import headline_parser, write_tiny

import neurosparse as ns
from neurosparse.models import load, read_documents, windows
from neurosparse.pipeline.local_completion import LocalCompletion
from neurosparse.pipeline.structured_fitness import StructuredFitness
from neurosparse.pipeline.structured_rates import rates_by_rule, rates_of_sites
from neurosparse.pruning.structured import (
    find_groups,
    make_ladders,
    prune_structured,
    structured_scores,
)
from neurosparse.search import make_proposer, rate_space, search
from neurosparse.sparse import save_uneven


def parse() -> argparse.Namespace:
    """The arguments; evaluations are the paper's."""
    parser = headline_parser(__doc__ or "", window_length=2048, out="out/self-pruner-headline")
    parser.set_defaults(sparsity=0.3, dtype="bfloat16")
    parser.add_argument("--calibration")
    parser.add_argument("--selection")
    parser.add_argument("--selection-windows", type=int, default=4)
    parser.add_argument("--evaluations", type=int, default=430)
    parser.add_argument("--proposer", default="evolution")
    parser.add_argument("--solved", action="store_true")
    arguments = parser.parse_args()
    texts = (arguments.model, arguments.calibration, arguments.selection, arguments.report_text)
    if not arguments.tiny and None in texts:
        parser.error("name the model and the three texts, or --tiny")
    return arguments


def seconds(model: Any, tokens: torch.Tensor) -> float:
    """Least of three prefills of one window."""
    found = []
    with torch.inference_mode():
        for _ in range(3):
            begin = time.perf_counter()
            logits = model(input_ids=tokens, use_cache=False, logits_to_keep=1).logits
            float(logits.sum())  # waits for a GPU
            found.append(time.perf_counter() - begin)
    return min(found)


def main() -> None:
    """Search once; then cut by uniform rates, by the rule, and by what the search found."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.tiny:
            arguments.model, text = write_tiny(Path(folder))
            arguments.calibration = arguments.selection = arguments.report_text = text
            arguments.out, arguments.dtype, arguments.solved = f"{folder}/out", "float32", True
            arguments.windows = arguments.report_windows = arguments.evaluations = 4
            arguments.window_length = 32
        out = Path(arguments.out)
        out.mkdir(parents=True, exist_ok=True)
        budgets = rates(arguments, out)
        for name, budget in budgets.items():
            loaded = read(arguments)
            model: Any = loaded.model
            report = cut_text(arguments, loaded, "report_text", arguments.report_windows)
            window = report[:1].to(model.device)
            dense = ns.measure.perplexity(model, report, batch_size=1), seconds(model, window)
            done = prune_structured(model, budget,
                                    cut_text(arguments, loaded, "calibration", arguments.windows),
                                    method="flap", heads="queries")
            found = ns.measure.perplexity(model, report, batch_size=1)
            print(f"{name:<14} {done.rate:.2%} cut: perplexity {found.value:.2f} +- "
                  f"{found.stderr:.2f}, dense {dense[0].value:.2f}; prefill "
                  f"{dense[1] / seconds(model, window):.2f}x of dense", flush=True)
            if name == "searched":
                save_uneven(model, out / "cut", tokenizer=loaded.tokenizer)
    print("the paper, Llama-2-70B: 1.39x at 30 %, 1.70x at 50 %")


def read(arguments: argparse.Namespace) -> Any:
    """The dense model, over all devices there are."""
    more = {} if arguments.tiny else {"device_map": "auto"}
    return load(arguments.model, dtype=arguments.dtype, **more)


def cut_text(arguments: argparse.Namespace, loaded: Any, text: str, count: int) -> torch.Tensor:
    """Windows of one of the texts."""
    return windows(loaded.tokenizer, read_documents(getattr(arguments, text)),
                   length=arguments.window_length, count=count)


def rates(arguments: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Uniform, the rule's, and the best of the search that begins there."""
    loaded, rate = read(arguments), arguments.sparsity
    model = loaded.model
    calibration = cut_text(arguments, loaded, "calibration", arguments.windows)
    selection = cut_text(arguments, loaded, "selection", arguments.selection_windows)
    groups = find_groups(model, heads="queries")
    ladders = None
    if arguments.solved:
        scores, ladders = make_ladders(model, calibration, groups)
    else:
        scores = structured_scores(model, calibration, groups, method="flap")
    found = {rule: rates_by_rule(model, calibration, groups, rate, rule, ladders=ladders)
             for rule in (("uniform", "propagation") if ladders else ("uniform",))}
    start = found["propagation" if ladders else "uniform"]
    space = rate_space([group.whole for group in groups], rate, upper=0.95,
                       names=[group.name for group in groups])
    options: dict[str, Any] = {"start": [rates_of_sites(model, groups, start)]}
    if arguments.proposer == "llm":
        options["complete"] = LocalCompletion(loaded, arguments.model)
    fitness = StructuredFitness(model, groups, scores, selection, ladders=ladders)
    done = search(space, fitness, make_proposer(arguments.proposer, space, **options),
                  arguments.evaluations, archive=out / "archive.jsonl")
    print(f"{len(done.values())} evaluations by {arguments.proposer}: {done.values()[0]:.4f} to "
          f"{done.value:.4f} nats a token on the selection text")
    return {**found, "searched": done.budget()}


if __name__ == "__main__":
    main()
