"""What the main job will do, and about how long, how much memory and disk it will take."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from neurosparse.budgets import step_bounds
from neurosparse.measure import profile_cost
from neurosparse.measure.rule_evidence import evidence_of
from neurosparse.models import (
    Target,
    fast_on,
    find_blocks,
    find_targets,
    load_empty,
    load_tokenizer,
    resolve,
)
from neurosparse.models.loading import find_device
from neurosparse.pipeline.asked import check_asked, check_place, fingerprint
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.packed_file import packed_file_bytes
from neurosparse.pipeline.texts import gather
from neurosparse.pipeline.work import Work

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}
# What the curves of a report may take: forward passes, or operations (a minute or two).
_CURVES, _LITTLE = 2.0, 1e13


@dataclass(frozen=True)
class Plan:
    """Estimates: seconds by stage, bytes of memory and of disk. Nothing was run or written."""

    model: dict[str, Any]
    seconds: dict[str, float]
    memory_bytes: int
    disk_bytes: int
    streamed: bool

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"model": self.model, "seconds": self.seconds, "memory_bytes": self.memory_bytes,
                "disk_bytes": self.disk_bytes, "streamed": self.streamed}


def _available_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def wants_streaming(options: CompressOptions) -> bool:
    """Whether blocks are read from disk one by one: as asked, else where memory is short.

    Only folders of safetensors can be streamed, and a search for the step cannot.
    """
    if options.stream is not None:
        return options.stream
    source = resolve(options.model)
    if source.kind not in ("folder", "hub") or options.search_step:
        return False
    return source.bytes * _BYTES[options.dtype] // 2 > _available_memory() // 2


def plan(options: CompressOptions, *, resume: bool = False, overwrite: bool = False) -> Plan:
    """Estimate a run from the model's configuration and the speed of one matrix product.

    Parameters
    ----------
    resume, overwrite
        As for ``compress``: what the run may find in ``out``.

    Raises
    ------
    NeurosparseError
        What the run itself would refuse, as far as it shows without the model's weights: the model
        is not there or not understood, a text is missing or too short, the folder is taken ...
    """
    source = resolve(options.model)
    check_place(options, resume=resume, overwrite=overwrite)
    find_device(f"load {options.model}", options.device)
    model = load_empty(options.model)
    check_asked(model, options)
    texts = gather(options, load_tokenizer(options.model))
    if resume and Work.in_folder(options.folder):
        Work.check_same(options.folder, fingerprint(options, source.bytes, texts))
    targets = find_targets(model, exclude=options.exclude)
    pruned = sum(target.size for target in targets)
    total = sum(parameter.numel() for parameter in model.parameters())
    blocks = find_blocks(model)
    inside = sum(p.numel() for block in blocks.modules for p in block.parameters())
    width = model.config.get_text_config().hidden_size  # type: ignore[union-attr, operator]
    speed = matmul_speed()
    calibrating = speed * faster(options.dtype, options.device, options.products)
    tokens = options.windows * options.window_length
    forward = 2 * inside * tokens / calibrating
    reports = 2 * total * options.report_windows * options.window_length / speed
    curves = curves_operations(targets, tokens) / speed if draws_curves(targets, tokens) else 0.0
    trials, beyond = 0, 0.0
    if options.search_step:
        trials = int(step_bounds(len(blocks), options.sparsity)[1] / 0.002) + 1
    else:
        needed = evidence_of(options.rule, options.sparsity, options.rule_options)
        beyond = sum(profile_cost(model, needed, windows=options.windows).extra.values())
    seconds = {
        "load": 5 + 2 * total / 1e8, "profile": (1 + beyond) * forward + curves,
        "search": trials * (2.4 * forward + reports * options.selection_windows
                            / options.report_windows),
        "prune": 2.2 * forward + pruned * 1e-7, "pack": pruned * 5e-8,
        "evaluate": 2.6 * reports + 60,
    }
    stream = wants_streaming(options)
    dropped = {t.name: round(t.size * options.sparsity) for t in targets}
    packed = packed_file_bytes(model, targets, dropped, options.values, options.group_size)
    element = _BYTES[options.dtype]
    resident = (total - inside + inside // len(blocks)) if stream else total
    hidden = 2 * tokens * width * 4
    gram_memory = 4 * max(t.shape[1] ** 2 for t in targets) * 4
    dense = total * element if options.export == "dense" else 0
    work = int(pruned * (1 - options.sparsity) * element + pruned / 8)
    return Plan(
        model={"name": options.model, "source": source.description, "bytes": source.bytes,
               "parameters": total, "pruned_parameters": pruned, "blocks": len(blocks),
               "linears": len(targets)},
        seconds={stage: round(value, 1) for stage, value in seconds.items() if value},
        memory_bytes=int(resident * element + hidden + gram_memory) + 600_000_000,
        disk_bytes=packed + dense + work,
        streamed=stream,
    )


def curves_operations(targets: Sequence[Target], tokens: int) -> float:
    """What the local error curves of a report take: Gram matrices, and a product a level."""
    gram = 2.0 * tokens * sum(t.shape[1] ** 2 for t in targets)
    return gram + 9 * 2.0 * sum(t.size * t.shape[1] for t in targets)


def draws_curves(targets: Sequence[Target], tokens: int) -> bool:
    """Whether a run measures them for its report, though its rule needs none.

    They grow with the third power of the width, a pass with the second: 1.7 passes on SmolLM2, 4.1
    on a model of 1.5B parameters.
    """
    forward = 2.0 * tokens * sum(t.size for t in targets)
    return curves_operations(targets, tokens) <= max(_CURVES * forward, _LITTLE)


def faster(dtype: str, device: str, products: str) -> float:
    """How much less time passes take whose products are in bfloat16; 1 where they are not.

    A step of learning took 4.28 s and 2.37 s (``bench_masked_lora.py``), a calibration 0.6 of
    float32's time and less. The products alone gain more; norms, attention and copies do not.
    """
    fast = products == "auto" and dtype == "float32" and fast_on(torch.device(device)) is not None
    return 1.8 if fast else 1.0


def matmul_speed() -> float:
    """Floating point operations a second of a float32 product, measured for about 0.1 s."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.rand(1024, 1024, generator=generator)
    matrix @ matrix
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < 0.1:
        matrix @ matrix
        count += 1
    # Real layers reach about four fifths of a square product.
    return 0.8 * count * 2 * 1024**3 / (time.perf_counter() - begin)
