"""A training step of masked LoRA against the form that builds B A, and against PEFT's LoRA.

Run: python benchmarks/bench_masked_lora.py [--products auto] [--json FILE]

SmolLM2-135M at 70 % by magnitude, two windows of 512 tokens, rank 8 on all linears, float32
(``--products auto``: products in bfloat16 where that is fast): the forms take turns step by step
(forward, backward, AdamW); the least time of each counts, and the least time that the processor
spent (of all threads), which other work on the machine disturbs less.
Peak memory: what a step adds to the process, each form in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

import neurosparse as ns
from neurosparse.adaptation import TrainOptions, lora_config
from neurosparse.adaptation.config import linears_of
from neurosparse.adaptation.masked_tiles import reference
from neurosparse.adaptation.training import Training
from neurosparse.measure import protocol
from neurosparse.records import peak_memory

OURS, BY_TORCH = "ours", "ours by torch's operators"
DENSE, PLAIN = "dense product", "PEFT LoRA, unmasked"
FORMS = (OURS, BY_TORCH, DENSE, PLAIN)


class DenseForm(Linear):
    """The official form (papers.md section 3): B A as a whole, its mask, a second product."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """``W x + s ((B A) o M) x``."""
        weight: Any = self.get_base_layer().weight
        a, b = self.lora_A["default"].weight, self.lora_B["default"].weight
        update = (b @ a) * (weight != 0)
        out: Tensor = self.base_layer(x) + self.scaling["default"] * (x @ update.T)
        return out


def model_of(form: str) -> nn.Module:
    """SmolLM2, sparse, with adapters of one form."""
    model = ns.models.load("smollm2").model
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        limit = weight.abs().flatten().kthvalue(int(0.7 * weight.numel())).values
        weight[weight.abs() <= limit] = 0.0
    model.requires_grad_(False)
    if form in (OURS, BY_TORCH):
        inject_adapter_in_model(lora_config(model, 8), model)
    else:
        config = LoraConfig(r=8, lora_alpha=16, target_modules=linears_of(model))
        if form == DENSE:
            config._register_custom_module({nn.Linear: DenseForm})
        inject_adapter_in_model(config, model)
    return model.train()




def tokens(model: str = "smollm2") -> Tensor:
    """Two windows of the protocol."""
    tokenizer = ns.models.load_tokenizer(model)
    return ns.models.windows(tokenizer, protocol.side("calibration"), length=512, count=2)


def _training(model: nn.Module, products: str) -> Training:
    return Training(model, [p for p in model.parameters() if p.requires_grad], 100,
                    TrainOptions(dtype=ns.models.products_of(model, products)))


def step(form: str, training: Training, data: Tensor) -> None:
    """One step in the way of a form."""
    with reference() if form == BY_TORCH else contextlib.nullcontext():
        training.step(data)


def memory(form: str, products: str, queue: Any) -> None:
    """In a process of its own: bytes that two steps add to what the model takes."""
    training, data = _training(model_of(form), products), tokens()
    before = peak_memory()
    for _ in range(2):
        step(form, training, data)
    queue.put(peak_memory() - before)


def main() -> None:
    """Take turns, print one line a form."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--products", default="own", choices=ns.models.PRODUCTS)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    context = multiprocessing.get_context("spawn")
    for form in FORMS:
        queue = context.Queue()
        process = context.Process(target=memory, args=(form, arguments.products, queue))
        process.start()
        found[form] = {"step_bytes": queue.get()}
        process.join()
    runs = {form: _training(copy.deepcopy(model_of(form)), arguments.products)
            for form in FORMS}
    data = tokens()
    times: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMS}
    for _ in range(arguments.rounds):
        for form, training in runs.items():
            begin, spent = time.perf_counter(), time.process_time()
            step(form, training, data)
            times[form].append((time.perf_counter() - begin, time.process_time() - spent))
    for form in FORMS:
        found[form]["seconds"] = min(wall for wall, _ in times[form])
        found[form]["cpu_seconds"] = min(spent for _, spent in times[form])
    for form in FORMS:
        row = found[form]
        ratio = row["seconds"] / found[DENSE]["seconds"]
        spent = row["cpu_seconds"] / found[DENSE]["cpu_seconds"]
        space = row["step_bytes"] / found[PLAIN]["step_bytes"]
        print(f"{form:<26} {row['seconds']:6.2f} s a step, {ratio:4.2f} of the dense product; of "
              f"the processor {row['cpu_seconds']:6.2f} s, {spent:4.2f}; a step adds "
              f"{row['step_bytes'] / 1e6:6.0f} MB, {space:4.2f} of PEFT's")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
