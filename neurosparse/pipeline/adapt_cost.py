"""What ``neurosparse adapt`` will take, from shapes and texts alone."""

from __future__ import annotations

from typing import Any

from neurosparse.models import load_empty, load_tokenizer
from neurosparse.pipeline.adapt_options import AdaptOptions, gather_windows
from neurosparse.pipeline.plan import faster, matmul_speed
from neurosparse.sparse.uneven import apply_widths


def adapt_cost(options: AdaptOptions) -> dict[str, Any]:
    """What a run will do, its seconds and memory, from the speed of one matrix product.

    The texts are read, the weights are not.
    """
    total = _parameters(options.model)
    one, train = options.losa, options.losa.train
    texts = gather_windows(options, load_tokenizer(options.model))
    tokens = texts.data.numel()
    speed = matmul_speed() * faster(options.dtype, options.device, options.products)
    dense = 0 if not train.taught else _parameters(options.teacher or options.model)
    learns = 4 * total if one.update == "values" else 0
    wide = {"float32": 4, "bfloat16": 2, "float16": 2}.get(options.dtype, 4)
    prunings = 0 if one.sparsity is None else one.steps
    passes = prunings * 5 * one.windows * options.window_length
    if one.rule == "propagation":
        passes += bool(prunings) * 20 * one.windows * options.window_length
    return {
        "model": options.model, "parameters": total, "training_tokens": tokens,
        "optimiser_steps": len(texts.data) // train.batch_size,
        "prunings": prunings,
        "seconds": {"prune": round(2 * total * passes / speed, 1),
                    "learn": round((6 * total + 2 * dense) * tokens / speed, 1)},
        "memory_bytes": int(wide * (total + max(dense, one.regrow * total)) + 3 * learns
                            + 1_500_000_000),
    }


def _parameters(name: str) -> int:
    """Of a model of the disk, as wide as its configuration says that it is."""
    model = load_empty(name)
    apply_widths(model)
    return sum(parameter.numel() for parameter in model.parameters())
