"""What a structured cut buys in time: prefill and decoding of a cut model over the dense one.

Run: python benchmarks/bench_structured.py [--json FILE] [--rounds 7]
     python benchmarks/bench_structured.py --quick     SmolLM2 alone, one round: that it runs

SmolLM2-135M with 20, 30 and 50 % cut evenly, and ``--blocks`` blocks of Llama-2-7B's shape with
random weights and 50 % cut (time does not depend on values, so that magnitudes choose and nothing
is calibrated); a small head behind them, since the blocks are what is cut. In float32 and bfloat16.
Prompts of 512 tokens in transformers, decoding in transformers' loop and in the compiled core; cut
and dense in turns, the median of the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import neurosparse as ns
from neurosparse.budgets import allocate
from neurosparse.files import write_json
from neurosparse.measure import protocol, sizes_only
from neurosparse.measure.timing import loop_speed
from neurosparse.pruning.structured import prune_structured
from neurosparse.sparse import Decoder, TorchLoop
from neurosparse.sparse.loops import Loop

DTYPES = (torch.float32, torch.bfloat16)
WHAT = ("prefill", "decode", "core")


def llama_blocks(blocks: int) -> Any:
    """Blocks of Llama-2-7B, random, with a vocabulary of 1000."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=blocks, vocab_size=1000,
        num_attention_heads=32, num_key_value_heads=32)).eval().requires_grad_(False)


def cut_of(dense: Any, rate: float, tokens: torch.Tensor) -> tuple[Any, float]:
    """A copy with that share of its blocks' parameters cut out, and the share that went."""
    model = copy.deepcopy(dense)
    report = prune_structured(model, allocate(sizes_only(model), rate), tokens[:, :32],
                              method="magnitude", heads="queries", compensate="none")
    return model, report.rate


def turns(dense: Any, cut: Any, tokens: torch.Tensor, rounds: int, steps: int = 24
          ) -> dict[str, Any]:
    """Seconds of a prompt and tokens a second of decoding, [rounds] each, and median ratios."""
    pair = {"dense": dense, "cut": cut}
    # Unchecked: magnitude cuts ruin a model, and its logits in bfloat16 are then anything's.
    decoders = {who: Decoder(model, positions=128, check=False) for who, model in pair.items()}
    times: dict[str, list[float]] = {f"{what} {who}": [] for what in WHAT for who in pair}
    for turn in range(rounds + 1):
        for who, model in pair.items():
            with torch.inference_mode():
                begin = time.perf_counter()
                model(input_ids=tokens, use_cache=False, logits_to_keep=1)
                found = {"prefill": time.perf_counter() - begin}
            loops: dict[str, Loop] = {"decode": TorchLoop(model), "core": decoders[who]}
            for what, loop in loops.items():
                found[what] = loop_speed(loop, tokens[:, :64], steps=steps, repeats=1).decode
            if turn:  # the first warms up
                for what, value in found.items():
                    times[f"{what} {who}"].append(value)
    ratios = {"prefill": [a / b for a, b in zip(times["prefill dense"], times["prefill cut"],
                                                strict=True)]}
    ratios |= {what: [b / a for a, b in zip(times[f"{what} dense"], times[f"{what} cut"],
                                            strict=True)] for what in ("decode", "core")}
    return {**times, **{name: statistics.median(each) for name, each in ratios.items()}}


def main() -> None:
    """Cut, time, print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    loaded = ns.models.load("smollm2")
    tokens = ns.models.windows(loaded.tokenizer, protocol.side("report"), length=512)[:1]
    cases: list[tuple[str, Any, Any, tuple[float, ...]]] = [
        ("SmolLM2-135M", lambda: loaded.model, tokens, (0.2, 0.3, 0.5)),
        (f"{arguments.blocks} blocks of 7B", lambda: llama_blocks(arguments.blocks), tokens % 1000,
         (0.5,))]
    rounds, steps = arguments.rounds, arguments.steps
    if arguments.quick:
        rounds, steps, cases = 1, 6, cases[:1]
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "rows": {}}
    for name, make, text, rates in cases:
        dense = make()
        for rate in rates:
            cut, gone = cut_of(dense, rate, text)
            for dtype in DTYPES:
                row = turns(dense.to(dtype), cut.to(dtype), text, rounds, steps)
                found["rows"][f"{name}|{rate}|{dtype}"] = {**row, "gone": gone}
                print(f"{name:<18} {gone:6.1%} cut, {str(dtype)[6:]:<9} prefill "
                      f"{row['prefill']:.2f}x, decode {row['decode']:.2f}x of dense, in the core "
                      f"{row['core']:.2f}x ({statistics.median(row['core cut']):.0f} tokens/s, "
                      f"dense {statistics.median(row['core dense']):.0f})", flush=True)
            dense.float()
        del dense, cut
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
