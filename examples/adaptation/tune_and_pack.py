"""Fine-tune a sparse model with PEFT and the Trainer, merge without losing a zero, pack, generate.

    python examples/adaptation/tune_and_pack.py            SmolLM2-135M, about ten minutes
    python examples/adaptation/tune_and_pack.py --quick    a few steps

The only line that is ours in the training script is the configuration: ``lora_config`` (or
``MaskedLoraConfig``) in place of PEFT's ``LoraConfig``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from transformers import Trainer, TrainingArguments

import neurosparse as ns
from neurosparse.adaptation import lora_config
from neurosparse.measure import protocol


def main() -> None:
    """Prune, tune, merge, pack, load, write."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--sparsity", type=float, default=0.6)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--out", default=None, help="folder of the packed model")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    steps, prunes, length = (2, 2, 64) if arguments.quick else (arguments.steps, 32, 512)
    loaded = ns.models.load(arguments.model)
    model: Any = loaded.model
    cut = {side: ns.models.windows(loaded.tokenizer, protocol.side(side), length=length)
           for side in ("calibration", "report")}
    tokens, report = cut["calibration"], cut["report"][: 2 if arguments.quick else 16]

    budget = ns.budgets.allocate(ns.measure.sizes_only(model), arguments.sparsity, rule="uniform")
    ns.pruning.prune(model, budget, tokens[:prunes])
    print(f"pruned to {arguments.sparsity:.0%}: perplexity "
          f"{ns.measure.perplexity(model, report).value:.2f}")

    adapted = get_peft_model(model, lora_config(model, rank=8))
    data = [{"input_ids": row, "labels": row} for row in tokens[prunes:]]
    with tempfile.TemporaryDirectory() as folder:
        Trainer(adapted, TrainingArguments(
            folder, max_steps=steps, per_device_train_batch_size=2, learning_rate=2e-3,
            report_to=[], use_cpu=not torch.cuda.is_available(), save_strategy="no",
            disable_tqdm=True, logging_steps=10), train_dataset=data).train()
        merged = adapted.merge_and_unload().eval()
        targets = ns.models.find_targets(merged)
        zeros = sum(int((ns.models.get_weight(merged, t) == 0).sum()) for t in targets)
        print(f"tuned and merged: perplexity {ns.measure.perplexity(merged, report).value:.2f}, "
              f"{zeros / sum(t.size for t in targets):.2%} zeros")
        out = Path(arguments.out or f"{folder}/packed")
        sizes = ns.sparse.save(merged, out, tokenizer=loaded.tokenizer)
        packed = ns.sparse.load(out)
        prompt = loaded.tokenizer("The history of mathematics", return_tensors="pt")
        written = packed.generate(**prompt, max_new_tokens=20, do_sample=False)
        print(f"packed: {sizes['folder'] / 1e6:.1f} MB; {loaded.tokenizer.decode(written[0])!r}")


if __name__ == "__main__":
    main()
