"""Triton for masked tiles: in its interpreter, compiled for a card, and what happens without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from interpreter import needs_triton, passes_in_the_interpreter

from neurosparse.adaptation import masked_tiles
from neurosparse.adaptation.masked_tiles import add_gradients, reference, updated
from neurosparse.sparse import on_gpu
from neurosparse.sparse.bits import pack_bits

HERE = Path(__file__).parent


@needs_triton
@pytest.mark.slow
def test_the_kernels_in_the_interpreter() -> None:
    passes_in_the_interpreter(HERE / "interpreted_masked.py")


def compiled(kernel: Any, types: dict[str, str], options: dict[str, Any], warps: int) -> Any:
    """A kernel for Hopper, with the assembler that Triton brings: no card is needed."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {name: types.get(name, "i32" if name.islower() else "constexpr")
                 for name in kernel.arg_names}
    places = {name: (index,) for index, name in enumerate(kernel.arg_names)}
    aligned = {places[name]: [["tt.divisibility", 16]] for name in signature
               if name in ("out", "base", "product", "a", "b", "cols", "width")}
    source = ASTSource(kernel, signature, {places[k]: v for k, v in options.items()}, aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("values", ["bf16", "fp32"])
def test_the_kernels_compile_for_a_card(values: str) -> None:
    from neurosparse.adaptation import triton_masked

    types = {"out": f"*{values}", "base": f"*{values}", "bitmap": "*u8", "a": "*fp32",
             "b": "*fp32", "scale": "fp32", "product": "*fp32", "of_a": "*fp32", "of_b": "*fp32"}
    for rows, block, warps in triton_masked.ADD:
        made = compiled(triton_masked._add, types, {"BASED": True, "ROWS": rows, "BLOCK": block},
                        warps)
        assert made.metadata.shared <= 32 << 10
    for rows, block, warps in triton_masked.GRADIENTS:
        made = compiled(triton_masked._gradients, types,
                        {"ROWS": rows, "BLOCK": block, "RANK": triton_masked.LEAST_RANK}, warps)
        # tf32 alone would lose what three products of it keep.
        assert made.asm["ptx"].count("mma") > 0 and made.metadata.shared < 227 << 10


def test_a_failing_triton_leaves_it_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    monkeypatch.setattr(on_gpu, "_failures", failures)
    monkeypatch.setattr(on_gpu, "usable", lambda device: not failures)
    monkeypatch.setattr(masked_tiles, "_is_cpu", lambda tensor: False)
    monkeypatch.setitem(sys.modules, "neurosparse.adaptation.triton_masked", None)  # type: ignore[arg-type]
    g = torch.Generator().manual_seed(0)
    a, b, tile = (torch.randn(*shape, generator=g) for shape in ((3, 70), (9, 3), (9, 70)))
    bits = pack_bits(torch.rand(9, 70, generator=g) < 0.4)
    for _ in range(2):
        found = updated(tile, bits, a, b, 0.5, torch.float32)
        grads = [(torch.ones_like(a), torch.empty_like(b)) for _ in range(2)]
        add_gradients(tile.clone(), bits, a, b, 0.5, *grads[0])
        with reference():
            assert torch.equal(found, updated(tile, bits, a, b, 0.5, torch.float32))
            add_gradients(tile.clone(), bits, a, b, 0.5, *grads[1])
        assert all(torch.equal(*pair) for pair in zip(*grads, strict=True))
    assert len(failures) == 1 and "triton_masked" in failures[0]


@pytest.mark.slow
def test_importing_the_room_does_not_import_triton() -> None:
    code = ("import sys, neurosparse.adaptation; "
            "sys.exit('neurosparse.adaptation.triton_masked' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=HERE.parent.parent).returncode == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_card(dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(0)
    a, b, tile = (torch.randn(*shape, generator=g).cuda() for shape in
                  ((8, 1000), (300, 8), (300, 1000)))
    bits = pack_bits(torch.rand(300, 1000, generator=g) < 0.4).cuda()
    base = tile.to(dtype)
    ours = updated(base, bits, a, b, 0.5, dtype)
    grads = [(torch.zeros_like(a), torch.empty_like(b)) for _ in range(2)]
    add_gradients(tile.clone(), bits, a, b, 0.5, *grads[0])
    with reference():
        torch.testing.assert_close(ours, updated(base, bits, a, b, 0.5, dtype))
        add_gradients(tile.clone(), bits, a, b, 0.5, *grads[1])
    for left, right in zip(*grads, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)
    assert on_gpu.usable(a.device), on_gpu.backend("cuda").why
