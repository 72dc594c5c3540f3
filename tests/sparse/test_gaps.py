"""The order of gaps, and the CUDA kernels that read it, by a host compiler."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.sparse import SparseLinear, backend, pack
from neurosparse.sparse.cuda import expand as cuda_expand
from neurosparse.sparse.cuda import matvec as cuda_matvec
from neurosparse.sparse.cuda.compile import COMMON
from neurosparse.sparse.cuda.groups import VALUES, XS
from neurosparse.sparse.cuda.matvec import Shape, layout
from neurosparse.sparse.gaps import to_dense, to_gaps, to_values

HERE = Path(__file__).parent
SHARED = "extern __shared__ __align__(16) char held[];"
CALLS = {
    cuda_matvec.SOURCE: """
extern "C" void call(void* out, const void* x, const void* values, const void* gaps,
                     const int* offsets, const float* scales, int rows, int cols, int count,
                     int stride, int aligned) {
  on_host(BLOCKS, THREADS, [=] {
    gap_matvec(out, x, (const u32*)values, (const u32*)gaps, offsets, scales, rows, cols, count,
               stride, aligned);
  });
}
""",
    cuda_expand.SOURCE: """
extern "C" void call(void* out, const void* values, const void* gaps, const int* offsets,
                     const float* scales, int rows, int cols, int aligned) {
  on_host(BLOCKS, 32 * WARPS, [=] {
    gap_expand(out, (const u32*)values, (const u32*)gaps, offsets, scales, rows, cols, aligned);
  });
}
"""}


def layer_of(rows: int, cols: int, sparsity: float, values: str, seed: int) -> SparseLinear:
    """Random, some rows empty and some full."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, cols, generator=generator)
    keep = torch.rand(rows, cols, generator=generator) >= sparsity
    keep[::5], keep[3::5] = False, True
    return SparseLinear(pack(weight, mask=keep, values=values))


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 12), cols=st.integers(1, 400),
       sparsity=st.sampled_from([0.0, 0.5, 0.99]),
       values=st.sampled_from(["bf16", "fp16", "int8"]), seed=st.integers(0, 99))
def test_gaps_are_the_matrix(rows: int, cols: int, sparsity: float, values: str, seed: int) -> None:
    layer = layer_of(rows, cols, sparsity, values, seed)
    gaps = to_gaps(layer.views(), 0, rows)
    dense = to_dense(gaps)
    if layer.scales is not None:
        dense = dense * layer.scales[:, None]
    torch.testing.assert_close(dense, layer.to_dense(), rtol=1e-6, atol=0)
    assert torch.equal(to_values(gaps, layer.bitmap, len(layer.values)), layer.values)
    assert len(gaps.values) == len(gaps.gaps) == int(gaps.offsets[-1])


@given(first=st.integers(0, 6), count=st.integers(0, 6))
def test_part_of_the_rows(first: int, count: int) -> None:
    layer = layer_of(12, 90, 0.6, "bf16", 0)
    found = to_dense(to_gaps(layer.views(), first, first + count))
    assert torch.equal(found, layer.to_dense()[first : first + count])


def test_bytes_at_seventy_percent() -> None:
    keep = torch.rand(64, 4096, generator=torch.Generator().manual_seed(0)) >= 0.7
    layer = SparseLinear(pack(torch.ones(64, 4096), mask=keep, values="bf16"))
    order = to_gaps(layer.views(), 0, 64).nbytes
    assert 0.75 <= order / keep.numel() < 0.775
    assert (order + layer.bitmap.nbytes) / keep.numel() < 0.9  # what a card holds


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A kernel with the macros that are given, compiled by g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("not installed: g++")
    folder = tmp_path_factory.mktemp("cuda")
    made: dict[Any, Any] = {}

    def kernel(path: Path, **defines: int) -> Any:
        key = path, *defines.items()
        if key not in made:
            source = folder / f"kernel-{len(made)}.cpp"
            parts = [HERE / "host_prelude.h", *COMMON[1:]]
            source.write_text("".join(f'#include "{part}"\n' for part in parts)
                              + path.read_text().replace(SHARED, "") + CALLS[path])
            library = source.with_suffix(".so")
            subprocess.run([compiler, "-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-w",
                            *(f"-D{name}={value}" for name, value in defines.items()),
                            str(source), "-o", str(library)], check=True)
            made[key] = ctypes.CDLL(str(library)).call
        return made[key]

    return kernel


CASES = list(itertools.product(("bf16", "fp16", "int8"),
                               (torch.bfloat16, torch.float16, torch.float32), (1, 2, 4, 8)))


def exact_to(found: torch.Tensor, exact: torch.Tensor, terms: torch.Tensor) -> None:
    """Sums in float32, rounded once; NaN where nothing was written fails."""
    eps = 2 * torch.finfo(found.dtype).eps
    bound = eps * exact.abs() + 1e-5 * terms + 1e-6
    assert bool(((found.double() - exact).abs() <= bound).all())


@pytest.mark.parametrize(("values", "dtype", "count"), [*CASES[::7], CASES[0], CASES[3]])
@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.slow
def test_matvec_by_a_host_compiler(host: Any, values: str, dtype: torch.dtype, count: int,
                                   tight: bool) -> None:
    shape = Shape(64, 1, 1 + tight, 2 - tight)
    for rows, cols, sparsity in ((11, 700, 0.7), (1, 3, 0.0), (3, 2600, 0.98)):
        layer = layer_of(rows, cols, sparsity, values, seed=count)
        gaps = to_gaps(layer.views(), 0, rows)
        where = layout(gaps, count, dtype, 1 << 20)
        assert where is not None
        if tight and (less := layout(gaps, count, dtype, where.nbytes - 1)) is not None:
            where = less
        kernel = host(cuda_matvec.SOURCE, BLOCKS=2,
                      **cuda_matvec.defines(gaps.values.dtype, dtype, count, shape, where))
        for many in {1, count}:
            x = torch.randn(many, cols, generator=torch.Generator().manual_seed(1)).to(dtype)
            first = min(2, rows - 1)
            out = torch.full((many, rows - first), float("nan"), dtype=dtype)
            given = cuda_matvec.arguments(gaps, layer.scales, first, rows, where)
            cuda_matvec.point(given, out.data_ptr(), x.data_ptr(), many, cols * x.itemsize)
            kernel(*given.values())
            weight = layer.to_dense().double()[first:]
            exact_to(out, x.double() @ weight.T, x.double().abs() @ weight.abs().T)


@pytest.mark.parametrize("values", ["bf16", "fp16", "int8"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_expand_by_a_host_compiler(host: Any, values: str, dtype: torch.dtype) -> None:
    kernel = host(cuda_expand.SOURCE, BLOCKS=2, WARPS=2, PER_SM=1, BYTES=4096, X=XS[dtype],
                  VALUES=VALUES[layer_of(1, 1, 0, values, 0).values.dtype])
    # More than one window, a row whose last gap leads out of it, and columns that no load divides.
    for rows, cols, sparsity in ((7, 2048, 0.7), (3, 4203, 0.7), (9, 3000, 0.995), (2, 5, 0.0)):
        layer = layer_of(rows, cols, sparsity, values, seed=3)
        gaps, first = to_gaps(layer.views(), 0, rows), min(1, rows - 1)
        out = torch.full((rows - first, cols), float("nan"), dtype=dtype)
        given = cuda_expand.arguments(gaps, layer.scales, first, rows, dtype)
        given[0].value = out.data_ptr()
        kernel(*given)
        assert torch.equal(out, layer.to_dense()[first:].to(dtype))


def test_layouts_fit_and_rows_begin_in_one_bank() -> None:
    gaps = to_gaps(layer_of(4, 11008, 0.7, "bf16", 0).views(), 0, 4)
    for count, dtype in itertools.product((1, 2, 4, 8), XS):
        where = layout(gaps, count, dtype, 227 << 10)
        if where is None:
            assert count * dtype.itemsize == 32
            continue
        assert where.nbytes <= 227 << 10 and where.stride % 128 == 0
        assert where.nbytes >= 11008 * cuda_matvec.bytes_of_x(count, dtype)
    assert layout(gaps, 1, torch.bfloat16, 1 << 10) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("values", ["bf16", "fp16", "int8"])
@pytest.mark.parametrize("dtype", list(XS))
def test_on_a_card(values: str, dtype: torch.dtype) -> None:
    for rows, cols in ((300, 1000), (33, 4096), (70, 11008), (5, 7)):
        layer = layer_of(rows, cols, 0.7, values, seed=2)
        weight = layer.to_dense().double().cuda()
        layer.cuda()
        for many in (1, 2, 3, 8, 13, 40):
            x = torch.randn(many, cols, device="cuda").to(dtype)
            with torch.inference_mode():
                found = layer(x)
            terms = x.double().abs() @ weight.abs().T
            # Many rows multiply rows that were rounded to x's dtype.
            slack = torch.finfo(dtype).eps * terms if many == 40 else 0
            exact_to(found, x.double() @ weight.T, terms + 1e5 * slack)
    assert backend("cuda") == ("cuda", "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_graph_on_a_card() -> None:
    layer = layer_of(500, 4096, 0.7, "bf16", seed=2).cuda()
    x = torch.randn(1, 4096, device="cuda", dtype=torch.bfloat16)
    with torch.inference_mode():
        for _ in range(2):
            first = layer(layer(x).repeat(1, 9)[:, :4096])
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = layer(layer(x).repeat(1, 9)[:, :4096])  # kernels that begin early wait for x
        for _ in range(50):
            graph.replay()
            assert torch.equal(out, first)


def longest_queue(columns: torch.Tensor, banks: torch.Tensor) -> float:
    """Lanes that the most asked bank serves one after the other: mean over the loads of a warp."""
    found = [max(torch.bincount(load).tolist()) for load in banks[columns]]
    return sum(found) / len(found)


def test_lanes_ask_banks_in_turn() -> None:
    layer = layer_of(3, 11008, 0.7, "bf16", 0)
    gaps = to_gaps(layer.views(), 1, 2)
    where = layout(gaps, 1, torch.bfloat16, 227 << 10)
    assert where is not None
    column = torch.arange(11008)
    place = column % (1 << where.log_span) * where.stride // 4 + (column >> where.log_span)
    entries = layer.to_dense()[1].nonzero()[:, 0]
    loads = entries[: len(entries) // 256 * 256].view(-1, 32, 8).transpose(1, 2).reshape(-1, 32)
    assert longest_queue(loads, column % 32) > 3.3
    assert longest_queue(loads, place % 32) < 2.2
