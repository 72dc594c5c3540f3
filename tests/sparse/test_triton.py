"""Triton: the kernels in its interpreter, compiled for a card, and what happens without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from interpreter import needs_triton, passes_in_the_interpreter
from sparse_cases import sparse_matrix

from neurosparse.errors import InputError
from neurosparse.sparse import SparseLinear, backend, on_gpu, pack, unpack
from neurosparse.sparse.arithmetic import Rows, multiply
from neurosparse.sparse.cuda import card as cuda_card
from neurosparse.sparse.cuda import compile as cuda_compile

HERE = Path(__file__).parent


@needs_triton
@pytest.mark.slow
def test_the_kernels_in_the_interpreter() -> None:
    passes_in_the_interpreter(HERE / "interpreted_triton.py")


def compiled(kernel: Any, values: str, x: str, options: dict[str, Any], warps: int) -> Any:
    """A kernel for Hopper, with the assembler that Triton brings: no card is needed."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = {"out": f"*{x}", "x": f"*{x}", "bitmap": "*u8", "values": f"*{values}",
             "scales": "*fp32", "offsets": "*i64"}
    signature = {name: types.get(name, "i32" if name.islower() else "constexpr")
                 for name in kernel.arg_names}
    places = {name: (index,) for index, name in enumerate(kernel.arg_names)}
    # As the launcher says it of aligned pointers and widths; of the bitmap it is told not to.
    aligned = {places[name]: [["tt.divisibility", 16]] for name in signature
               if name in ("out", "x", "values", "scales", "offsets", "cols", "width")}
    source = ASTSource(kernel, signature, {places[k]: v for k, v in options.items()}, aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("values", ["bf16", "i8"])
def test_the_kernels_compile_for_a_card(values: str) -> None:
    from neurosparse.sparse import triton_expand, triton_matvec

    common = {"SCALED": values == "i8"}
    rows, block, warps = triton_matvec.SUMS[0]
    sums = compiled(triton_matvec._by_sums, values, "bf16",
                    {**common, "BATCH": 1, "ROWS": rows, "BLOCK": block}, warps)
    # Shared memory here would mean that values change lanes between load and product, with a
    # barrier each time: what knowing the bitmap's alignment leads to.
    assert sums.metadata.shared == 0
    rows, block, warps = triton_matvec.DOTS[0]
    dots = compiled(triton_matvec._by_dot, values, "bf16",
                    {**common, "BATCH": 16, "ROWS": rows, "BLOCK": block, "FLOATS": False}, warps)
    assert "mma" in dots.asm["ptx"]
    rows, block, warps = triton_expand.CONFIGS[0]
    tile = compiled(triton_expand._expand, values, "bf16",
                    {**common, "ROWS": rows, "BLOCK": block}, warps)
    assert tile.metadata.shared == 0


def test_the_way_of_a_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend("cpu") == ("kernels", "")
    assert backend("meta").name == "torch" and "meta" in backend("meta").why
    monkeypatch.setattr(on_gpu, "_failures", [])
    monkeypatch.setattr(on_gpu, "_cuda_failures", ["told so"])
    monkeypatch.setattr(on_gpu, "_installed", lambda: True)
    assert backend("cuda:0") == ("triton", "CUDA failed: told so")
    monkeypatch.setattr(on_gpu, "_installed", lambda: False)
    assert backend("cuda").name == "torch" and "neurosparse[gpu]" in backend("cuda").why
    monkeypatch.setattr(on_gpu, "_cuda_failures", [])
    monkeypatch.setattr(cuda_compile, "installed", lambda: False)
    monkeypatch.setattr(on_gpu, "_installed", lambda: True)
    assert "cuda-bindings" in backend("cuda").why and "neurosparse[gpu]" in backend("cuda").why
    monkeypatch.setattr(cuda_compile, "installed", lambda: True)
    monkeypatch.setattr(cuda_card, "card_of", lambda device: None)
    assert backend("cuda") == ("triton", "there is no card of Ampere or later")
    monkeypatch.setattr(cuda_card, "card_of", lambda device: cuda_card.Card(132, 228 << 10))
    assert backend("cuda") == ("cuda", "")


def elsewhere() -> tuple[Rows, torch.Tensor]:
    """Rows without views for the CPU, as on another device."""
    held = SparseLinear(pack(sparse_matrix(20, 66))).views()
    rows = Rows(held.bitmap, held.values, held.scales, held.offsets, held.cols, held.kind, None)
    return rows, unpack(pack(sparse_matrix(20, 66)))


@pytest.mark.parametrize("count", [1, 20])
def test_a_failing_triton_leaves_it_to_torch(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    monkeypatch.setattr(on_gpu, "_failures", failures)
    monkeypatch.setattr(on_gpu, "usable", lambda device: not failures)
    for name in ("matvec", "expand"):
        monkeypatch.setitem(sys.modules, f"neurosparse.sparse.triton_{name}", None)  # type: ignore[arg-type]
    rows, weight = elsewhere()
    x = torch.randn(count, 66, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        torch.testing.assert_close(multiply(x, rows, 0, 20), x @ weight.T, rtol=1e-5, atol=1e-5)
    assert len(failures) == 1 and "triton_" in failures[0]
    assert "triton failed: " in backend("cuda").why


def test_errors_that_are_not_tritons_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_gpu, "_failures", [])

    def full() -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wrong() -> torch.Tensor:
        raise InputError("x", found="a", expected="b")

    with pytest.raises(torch.OutOfMemoryError):
        on_gpu.tried(full)
    with pytest.raises(InputError):
        on_gpu.tried(wrong)
    assert not on_gpu._failures


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("values", ["bf16", "fp16", "fp32", "int8"])
@pytest.mark.parametrize("count", [1, 4, 7, 16, 40])
def test_on_a_card(values: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_gpu, "_cuda_failures", ["told so"])
    module = SparseLinear(pack(sparse_matrix(300, 1000), values=values)).cuda()
    weight = module.to_dense().double()
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(count, 1000).to(dtype)
        want = x.double() @ weight.T
        scale = x.double().abs() @ weight.abs().T
        bound = scale * (1e-4 if dtype == torch.float32 else 2**-8) + want.abs() * 2**-8
        assert bool(((module(x.cuda()).cpu().double() - want).abs() <= bound).all())
    assert backend("cuda") == ("triton", "CUDA failed: told so")
