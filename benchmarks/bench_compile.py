"""What does ``torch.compile`` make of a packed model's step of decoding?

    python benchmarks/bench_compile.py FOLDER [--dtype bfloat16] [--steps 48] [--json FILE]

One token a step through transformers' forward with its static cache, eager and compiled (default
backend, static shapes), after the same prompt: processor time a token, breaks of the graph, seconds
of compiling, and whether both write the same tokens.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import quantiles
from typing import Any

import torch
import transformers
from torch._dynamo.utils import counters

import neurosparse as ns

PROMPT, WARM = 32, 4


def write(model: Any, forward: Any, steps: int) -> tuple[list[int], list[float]]:
    """Greedy tokens, and the processor time of each but the first."""
    cache = transformers.StaticCache(config=model.config, max_cache_len=PROMPT + steps + 1)
    draws = torch.Generator().manual_seed(0)
    prompt = torch.randint(model.config.vocab_size, (1, PROMPT), generator=draws)
    out = model(prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
    tokens, spent = [], []
    for _ in range(steps):
        tokens.append(int(out.logits[0, -1].argmax()))
        begin = time.process_time()
        out = forward(input_ids=torch.tensor([[tokens[-1]]]), past_key_values=cache,
                      use_cache=True, logits_to_keep=1)
        spent.append(time.process_time() - begin)
    return tokens, spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.
                                     RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = ns.sparse.load(options.folder, dtype=options.dtype)
    record: dict[str, Any] = {"torch": torch.__version__}
    with torch.inference_mode():
        plain, eager = write(model, model, options.steps)
        found, compiled = write(model, torch.compile(model.forward, dynamic=False), options.steps)
    for name, spent in (("eager", eager), ("compiled", compiled)):
        record[name] = dict(zip(("low", "median", "high"), quantiles(spent[WARM:], n=4),
                                strict=True))
        print(f"{name:9}" + " ".join(f"{part} {1e3 * value:.1f}" for part, value
                                     in record[name].items()) + " ms of processor a token")
    record |= {"compile_s": sum(compiled[:WARM]), "same_tokens": plain == found,
               "graph_breaks": sum(counters["graph_break"].values()),
               "graphs": counters["stats"]["unique_graphs"]}
    print(f"compiling {record['compile_s']:.1f} s, {record['graphs']} graph(s), "
          f"{record['graph_breaks']} breaks, same tokens: {record['same_tokens']}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as handle:
            json.dump(record, handle, indent=1)


if __name__ == "__main__":
    main()
