"""How fast is our sparse product against the best dense one?

    python benchmarks/bench_matvec.py [--quick] [--shapes 11008x4096 ...] [--batch 1 4 8]
        [--kinds bf16 int8 int4 int4/128 fp32]
        [--masks random exact real] [--levels avx2 ...] [--json FILE]

y = W x, W unstructured sparse, at the shapes of a 7B model, against three dense products of the
same shape in the same run: torch's in bfloat16 and in float32, and our own dense product in tile
order (bf16, int8), which is the fastest here. Every call reads another copy of its matrix; the
copies of a case exceed the L3 cache several times, so weights stream from memory as they do when a
model writes. The memory of a shared machine changes its speed from one second to the next: every
round measures its bandwidth before and after, a ratio is of one round, and medians are given by
mode. The ceiling is the ratio of bytes: dense bf16 over the packed matrix as it lies in memory.
Masks: ``random``; ``exact``, the same count in every row; ``real``, by magnitude of a linear of the
model ``--model``, repeated to the shape (such masks are skewed by rows and columns).
int4 values have a scale for every group of 64 columns, ``int4/128`` and ``int8/64`` say another.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurosparse import kernels
from neurosparse.measure import ReadProbe, mode_edge, mode_of
from neurosparse.tiles import Tiles

SPARSITIES = (0.5, 0.6, 0.7, 0.8)
COPIES_BYTES = 192 << 20
CALLS = 6


@dataclass
class Case:
    """One product over copies of its matrix, and the seconds of its rounds."""

    name: str
    nbytes: int
    calls: list[Callable[[], object]]
    made: float = 0.0
    rounds: list[tuple[float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turn = cycle(self.calls)

    def measure(self, probe: ReadProbe, before: float) -> float:
        """The best of some calls in a row, with the bandwidth around them."""
        best = float("inf")
        for _ in range(CALLS):
            begin = time.perf_counter()
            next(self.turn)()
            best = min(best, time.perf_counter() - begin)
        after = probe.read()
        self.rounds.append((best, before, after))
        return after


def copies(nbytes: int) -> int:
    """How many exceed the cache."""
    return max(2, -(-COPIES_BYTES // nbytes))


def raw(weight: NDArray[np.float32], kind: str) -> NDArray[Any]:
    """A kind's own bits."""
    if kind == "bf16":
        return (weight.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    if kind == "fp16":
        return weight.astype(np.float16).view(np.uint16)
    if kind.startswith("int8"):
        return np.clip(np.round(weight * 32), -127, 127).astype(np.int8)
    if kind.startswith("int4"):
        return np.clip(np.round(weight * 3), -8, 7).astype(np.int8)
    return weight


def scales_of(kind: str, shape: tuple[int, int]) -> NDArray[Any] | None:
    """Scales of whole numbers: 1/32, a row's or as bfloat16 those of its groups of columns."""
    name, _, group = kind.partition("/")
    if name == "int4" or group:
        return np.full((shape[0], -(-shape[1] // int(group or 64))), 0x3D00, np.uint16)
    return np.full(shape[0], 1 / 32, np.float32) if name == "int8" else None


def our_case(name: str, tiles: Tiles, x: torch.Tensor, made: float = 0.0) -> Case:
    """Our product, called by address as the decoder does; ``made``: seconds for the tile order."""
    out = torch.empty(x.shape[0], tiles.shape[0], dtype=x.dtype)
    halves = x.dtype == torch.bfloat16

    def call(held: Tiles) -> Callable[[], object]:
        return lambda: held.matvec_at(x.data_ptr(), halves, x.shape[0], out.data_ptr())

    held = [tiles] + [
        Tiles(tiles.kind, tiles.shape, None if tiles.masks is None else tiles.masks.copy(),
              tiles.offsets, tiles.values.copy(), tiles.scales, tiles.sums)
        for _ in range(copies(tiles.nbytes) - 1)]
    return Case(name, tiles.nbytes, [call(one) for one in held], made)


def torch_case(name: str, weight: torch.Tensor, x: torch.Tensor) -> Case:
    """torch's linear over copies."""
    held = [weight.clone() for _ in range(copies(weight.nbytes))]
    return Case(name, weight.nbytes,
                [lambda w=one: torch.nn.functional.linear(x.to(w.dtype), w) for one in held])


def mask_of(kind: str, shape: tuple[int, int], sparsity: float, rng: np.random.Generator,
            model: str) -> NDArray[np.bool_]:
    """Which entries stay."""
    if kind == "random":
        return rng.random(shape) >= sparsity
    if kind == "exact":
        order = rng.random(shape).argsort(axis=1)
        return np.ascontiguousarray(order >= round(sparsity * shape[1]))
    import neurosparse as ns

    loaded = ns.models.load(model).model
    weight = ns.models.get_weight(loaded, ns.models.find_targets(loaded)[-1]).float().abs().numpy()
    across = weight[np.arange(shape[0]) % weight.shape[0]][:, np.arange(shape[1]) % weight.shape[1]]
    return np.ascontiguousarray(across >= np.quantile(weight, sparsity))


def cases_of(shape: tuple[int, int], batch: int, kinds: list[str], masks: list[str], model: str
             ) -> list[Case]:
    """Dense ones first."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape, dtype=np.float32)
    x = torch.randn(batch, shape[1]).to(torch.bfloat16)
    dense = torch.from_numpy(weight)
    found = [torch_case("torch bf16", dense.bfloat16(), x), torch_case("torch fp32", dense, x)]
    found += [our_case(f"dense {kind}", Tiles.from_dense(
        raw(weight, kind), kind.partition("/")[0], scales_of(kind, shape)), x)
        for kind in dict.fromkeys(("bf16", "int8", *kinds))]
    for how in masks:
        for sparsity in SPARSITIES:
            bitmap = kernels.pack_mask(mask_of(how, shape, sparsity, rng, model))
            offsets = kernels.row_offsets(bitmap)
            for kind in kinds:
                values = kernels.pack_values(raw(weight, kind), bitmap)
                begin = time.perf_counter()
                tiles = Tiles.from_rows(values, kind.partition("/")[0], bitmap, offsets,
                                        scales_of(kind, shape), shape[1])
                made = time.perf_counter() - begin
                found.append(our_case(f"{kind} {sparsity:.0%} {how}", tiles, x, made))
    return found


def run(cases: list[Case], rounds: int) -> None:
    """Rounds of all cases, the bandwidth read between any two; the first warms up."""
    probe = ReadProbe()
    before = probe.read()
    for number in range(rounds + 1):
        for case in cases:
            before = case.measure(probe, before)
            if number == 0:
                case.rounds.clear()


def table(cases: list[Case]) -> list[dict[str, Any]]:
    """By mode: median milliseconds, GB/s, ratio to the best dense bf16, share of the ceiling."""
    edge = mode_edge([reading for case in cases for one in case.rounds for reading in one[1:]])
    rows = []
    best = next(case for case in cases if case.name == "dense bf16")
    for mode in ("one", "wide", "narrow"):
        def times(case: Case, mode: str = mode) -> dict[int, float]:
            return {at: one[0] for at, one in enumerate(case.rounds)
                    if mode_of(one[1:], edge) == mode}

        for case in cases:
            mine = times(case)
            if not mine:
                continue
            # Of one round where it lies in the mode for both, else of the mode's medians.
            base = {**dict.fromkeys(mine, median(times(best).values()) if times(best) else 0.0),
                    **{at: value for at, value in times(best).items() if at in mine}}
            ratio = median(base[at] / mine[at] for at in mine)
            ceiling = best.nbytes / case.nbytes
            rows.append({"mode": mode, "case": case.name, "rounds": len(mine),
                         "ms": 1e3 * median(mine.values()),
                         "GB/s": case.nbytes / median(mine.values()) / 1e9,
                         "memory": median((case.rounds[at][1] + case.rounds[at][2]) / 2
                                          for at in mine) / 1e9,
                         "made_ms": 1e3 * case.made, "ratio": ratio, "ceiling": ceiling,
                         "share": ratio / ceiling})
    return rows


def main() -> None:
    """Measure all shapes and batches, print a table each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.
                                     RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one shape, few rounds")
    parser.add_argument("--shapes", nargs="+", default=["11008x4096", "4096x11008"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--kinds", nargs="+", default=["bf16", "int8"])
    parser.add_argument("--masks", nargs="+", default=["random"])
    parser.add_argument("--levels", nargs="+", default=[kernels.level()])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    if options.quick:
        options.shapes, options.batch, options.rounds = ["4096x4096"], [1], 3
    torch.set_num_threads(kernels.threads())
    record: dict[str, Any] = {"threads": kernels.threads(), "torch": torch.__version__}
    with torch.inference_mode():
        for level in options.levels:
            with kernels.using(level):
                for text in options.shapes:
                    rows, cols = (int(part) for part in text.split("x"))
                    for batch in options.batch:
                        cases = cases_of((rows, cols), batch, options.kinds, options.masks,
                                         options.model)
                        run(cases, options.rounds)
                        found = table(cases)
                        record[f"{level} {text} batch {batch}"] = found
                        show(f"{text}, batch {batch}, {level}, {kernels.threads()} threads", found)
                        if options.json:
                            with open(options.json, "w", encoding="utf-8") as handle:
                                json.dump(record, handle, indent=1)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(f"{'mode':8}{'case':22}{'rounds':>7}{'ms':>8}{'GB/s':>7}{'memory':>8}{'x dense':>9}"
          f"{'ceiling':>9}{'share':>7}{'made ms':>9}")
    for row in rows:
        print(f"{row['mode']:8}{row['case']:22}{row['rounds']:7}{row['ms']:8.3f}"
              f"{row['GB/s']:7.1f}{row['memory']:8.1f}{row['ratio']:9.2f}{row['ceiling']:9.2f}{row['share']:7.0%}"
              f"{row['made_ms']:9.1f}", flush=True)


if __name__ == "__main__":
    main()
