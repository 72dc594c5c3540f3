"""How fast are packed products on a GPU against cuBLAS with the dense matrix?

    python benchmarks/gpu/bench_gemv.py [--quick] [--json FILE]

x W^T for 1 and 8 rows of x in bfloat16, W of a 7B model's shapes, bf16 and int8 values, random
masks. The bytes say what can be reached: a dense weight takes 2, a packed one 1/8 and its share of
values, so 16-bit values at 70 % could be 2.76 times as fast and no more ("ceiling"). Every call of
a turn reads another copy of its matrix, together three times the L2, as a model's weights are read
while it generates; x is drawn anew before each turn. Both sides run as CUDA graphs, in turns, timed
by events; `us` is the median over turns of the mean of a graph's calls. `error` is
|found - exact| / |exact| with float64 on the card, of an output filled with NaN before its turn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import torch

from neurosparse.sparse import SparseLinear, backend, pack

SHAPES = [(11008, 4096), (4096, 11008)]
SPARSITIES = [0.5, 0.6, 0.7, 0.8]
BATCHES = [1, 8]
# What issue 9 asks for, as a ratio to cuBLAS bf16: (values, sparsity, batch).
TARGETS = {("bf16", 0.5, 1): 1.0, ("bf16", 0.7, 1): 2.0, ("bf16", 0.7, 8): 1.6,
           ("int8", 0.7, 1): 3.0}


@dataclass
class Row:
    """One line of the table."""

    shape: tuple[int, int]
    batch: int
    values: str
    sparsity: float
    microseconds: float
    dense_microseconds: float
    ceiling: float
    gigabytes_per_s: float
    error: float
    dense_error: float

    @property
    def ratio(self) -> float:
        return self.dense_microseconds / self.microseconds

    def text(self) -> str:
        """The line, with the target where there is one."""
        target = TARGETS.get((self.values, self.sparsity, self.batch))
        verdict = "" if target is None else (
            f"{target:8.1f} {'reached' if self.ratio >= target else 'missed'}")
        shape = f"{self.shape[0]} x {self.shape[1]}"
        return (f"{shape:>14}{self.batch:6}{self.values:>7}{self.sparsity:6.0%}"
                f"{self.microseconds:9.1f}{self.dense_microseconds:9.1f}{self.ratio:8.2f}"
                f"{self.ceiling:9.2f}{self.ratio / self.ceiling:6.0%}{self.gigabytes_per_s:8.0f}"
                f"{self.error:10.1e}{verdict}")


HEAD = (f"{'shape':>14}{'batch':>6}{'values':>7}{'zeros':>6}{'us':>9}{'cuBLAS':>9}{'ratio':>8}"
        f"{'ceiling':>9}{'of it':>6}{'GB/s':>8}{'error':>10}{'target':>8}")


class Case:
    """Calls over all copies of one matrix, captured as one graph."""

    def __init__(self, call: Callable[[torch.Tensor, int], torch.Tensor], copies: int, batch: int,
                 cols: int) -> None:
        self.copies = copies
        self.times: list[float] = []
        self.x = torch.randn(copies, batch, cols, device="cuda", dtype=torch.bfloat16)
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):  # compiles and tunes, which cannot be captured
            for i in range(copies):
                call(self.x[i], i)
        side.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outs = [call(self.x[i], i) for i in range(copies)]

    def turn(self) -> None:
        """Fresh inputs, poisoned outputs, one replay."""
        self.x.normal_()
        for out in self.outs:
            out.fill_(float("nan"))
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        self.graph.replay()
        end.record()
        end.synchronize()
        self.times.append(begin.elapsed_time(end) * 1e3 / self.copies)

    @property
    def microseconds(self) -> float:
        """Median of a call."""
        return median(self.times)

    def error(self, weight: torch.Tensor) -> float:
        """Largest relative error of the last turn; ``weight`` in float64."""
        errors = []
        for x, out in zip(self.x, self.outs, strict=True):
            want = x.double() @ weight.T
            errors.append(float((out.double() - want).norm() / want.norm()))
        return max(e if e == e else float("inf") for e in errors)


def copies_of(nbytes: int) -> int:
    """Copies that together are three times the L2."""
    cache = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 64 << 20)
    return max(4, -(-3 * cache // nbytes))


def measure(shape: tuple[int, int], values: str, sparsity: float, turns: int) -> list[Row]:
    """Ours and cuBLAS for every batch of one matrix."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    weight *= torch.rand(shape, generator=generator) >= sparsity
    packed = pack(weight, values=values)
    first = SparseLinear(packed)
    exact = first.to_dense(torch.float64).cuda()
    layers = [SparseLinear(packed).cuda() for _ in range(copies_of(packed.nbytes))]
    dense = [exact.to(torch.bfloat16) for _ in range(copies_of(2 * weight.numel()))]
    rounded = dense[0].double()
    rows = []
    for batch in BATCHES:
        ours = Case(lambda x, i: layers[i](x), len(layers), batch, shape[1])
        theirs = Case(lambda x, i: torch.nn.functional.linear(x, dense[i]), len(dense), batch,
                      shape[1])
        for turn in range(turns + 3):
            for case in (ours, theirs):
                case.turn()
                if turn < 3:
                    case.times.clear()  # warm-up
        rows.append(Row(shape, batch, values, sparsity, ours.microseconds, theirs.microseconds,
                        2 * weight.numel() / packed.nbytes,
                        packed.nbytes / ours.microseconds / 1e3, ours.error(exact),
                        theirs.error(rounded)))
    return rows


def why_not() -> str:
    """Why nothing can be measured here, or nothing."""
    if not torch.cuda.is_available():
        build = torch.version.cuda or torch.version.hip
        return ("no CUDA device" if build else f"torch {torch.__version__} is built without CUDA: "
                "install the build for your card from pytorch.org")
    found = backend("cuda")
    return "" if found.name == "triton" else f"no Triton: {found.why}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 2 where there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one shape, 70 %%, few turns")
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args(arguments)
    if reason := why_not():
        print(f"bench_gemv: found {reason}; expected a CUDA card and Triton. The kernels' results "
              "are tested without one: pytest tests/sparse/test_triton.py", file=sys.stderr)
        return 2
    import triton

    card = torch.cuda.get_device_name(0)
    print(f"{card}, torch {torch.__version__}, CUDA {torch.version.cuda}, "
          f"triton {triton.__version__}\n{HEAD}")
    rows: list[Row] = []
    with torch.inference_mode():
        for shape in SHAPES[: 1 if options.quick else 2]:
            for values in ("bf16", "int8"):
                for sparsity in [0.7] if options.quick else SPARSITIES:
                    made = measure(shape, values, sparsity, 20 if options.quick else 100)
                    rows += made
                    print("\n".join(row.text() for row in made), flush=True)
    after = backend("cuda")
    if after.name != "triton":
        print(f"These are not the Triton kernels: {after.why}", file=sys.stderr)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as handle:
            json.dump({"card": card, "torch": torch.__version__, "triton": triton.__version__,
                       "backend": after.name,
                       "rows": [{**asdict(row), "ratio": row.ratio} for row in rows]}, handle,
                      indent=2)
    return 0 if after.name == "triton" else 1


if __name__ == "__main__":
    sys.exit(main())
