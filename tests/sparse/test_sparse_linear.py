"""SparseLinear: the product, its gradient, dtypes, devices, compile."""

from __future__ import annotations

import copy
from unittest import mock

import pytest
import torch
from instruction_levels import in_parts
from sparse_cases import relative_error, sparse_matrix

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.sparse import VALUES, SparseLinear, arithmetic, pack, unpack

EPS = torch.finfo(torch.float32).eps


def layer(rows: int = 70, cols: int = 133, *, values: str = "fp32", bias: bool = True
          ) -> tuple[SparseLinear, torch.Tensor]:
    """A layer and its dense weight in float32."""
    packed = pack(sparse_matrix(rows, cols), values=values)
    added = torch.linspace(-1, 1, rows) if bias else None
    return SparseLinear.from_packed(packed, added), unpack(packed)


def inputs(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stated_bound(x: torch.Tensor, weight: torch.Tensor, values: str) -> torch.Tensor:
    """What ``neurosparse.tiles`` promises at the level in use, with a bias of at most one."""
    bound = (weight.shape[1] + 16) * EPS * (x.abs() @ weight.abs().T + 1)
    if not in_parts(kernels.level()) or values in ("fp32", "fp16"):
        return bound
    parts = 2.0**-16 * (x.abs() @ weight.abs().T)
    if values == "int8" and len(x):
        parts = 2.0**-16 * torch.maximum(x.abs().amax(1, keepdim=True) * weight.abs().sum(1),
                                         x.abs() @ weight.abs().T)
    return bound + parts


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("batch", [0, 1, 4, 5, 8, 9, 16, 17, 40])
def test_the_product_keeps_the_stated_bound(values: str, batch: int, level: str) -> None:
    module, weight = layer(values=values)
    x = inputs(batch, 133)
    exact = x.double() @ weight.double().T + module.bias.double()
    wrong = (module(x).double() - exact).abs() > stated_bound(x, weight, values)
    assert not bool(wrong.any()), level


@pytest.mark.parametrize("rows", [1, 64, 65, 500])
def test_tiles_join_without_a_seam(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "_TILE", 1)
    module, weight = layer(rows, 40)
    x = inputs(20, 40)
    torch.testing.assert_close(module(x), x @ weight.T + module.bias, rtol=1e-5, atol=1e-5)


def test_the_dense_weight_is_never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "_TILE", 64 * 40)
    module, _ = layer(640, 40, values="fp16")  # a kind whose rows are expanded for many x
    real, seen = kernels.expand_float, []

    def watched(*args: object, **options: object) -> object:
        out = real(*args, **options)  # type: ignore[arg-type]
        seen.append(out.size)
        return out

    with mock.patch.object(kernels, "expand_float", watched):
        module(inputs(20, 40))
    assert sum(seen) == 640 * 40 and max(seen) == 64 * 40


def test_leading_dimensions_and_strides_are_free() -> None:
    module, weight = layer(bias=False)
    x = inputs(2, 133, 3).transpose(1, 2)
    torch.testing.assert_close(module(x), x @ weight.T, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(module(x[0, 0]), x[0, 0] @ weight.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("batch", [2, 19])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_give_half_outputs(values: str, batch: int, dtype: torch.dtype) -> None:
    module, weight = layer(values=values, bias=False)
    x = inputs(batch, 133).to(dtype)
    found = module(x)
    assert found.dtype == dtype
    want = x.double() @ weight.double().T
    bound = torch.finfo(dtype).eps * want.abs() + stated_bound(x.float(), weight, values)
    assert bool(((found.double() - want).abs() <= bound).all())


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("batch", [1, 20])
def test_gradients_agree_with_the_dense_layer(values: str, batch: int, level: str) -> None:
    module, weight = layer(values=values)
    module.bias.requires_grad_(True)
    x = inputs(batch, 133).requires_grad_(True)
    grad = inputs(batch, 70, seed=5)
    module(x).backward(grad)
    torch.testing.assert_close(x.grad, grad @ weight, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(module.bias.grad, grad.sum(0))
    assert not any(buffer.requires_grad for buffer in module.buffers())


@pytest.mark.parametrize("values", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("batch", [1, 20])
def test_values_have_the_gradient_of_the_entries_that_they_are(
    values: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "_TILE", 64 * 133)
    module, weight = layer(150, 133, values=values)
    learning = module.learn()
    assert isinstance(learning, torch.nn.Parameter) and module.learn() is learning
    x, grad = inputs(batch, 133), inputs(batch, 150, seed=5)
    module(x).backward(grad)
    wanted = (grad.T @ x)[weight != 0]
    found = learning.grad[: module.nnz].float()
    atol = 1e-4 if values == "fp32" else 0.02 * float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=atol)
    assert not learning.grad[module.nnz :].any()
    elsewhere = arithmetic.Rows(module.bitmap, module.values, None, module.offsets, 133,
                                module.views().kind, None)
    out = torch.zeros_like(learning.grad)
    arithmetic.gather_product(grad, x, elsewhere, 0, 150, out)
    torch.testing.assert_close(out, learning.grad, rtol=1e-2, atol=atol)


def test_values_learn_and_stay_where_they_are() -> None:
    module, weight = layer(bias=False)
    target = inputs(64, 133) @ (weight * 1.5).T
    optimiser = torch.optim.Adam([module.learn()], lr=0.02)
    x, losses = inputs(64, 133), []
    for _ in range(60):
        loss = (module(x) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert torch.equal(module.to_dense() != 0, weight != 0)
    with torch.inference_mode():  # the eager path sees what was learnt
        assert float((module(x) - target).square().mean()) < losses[-2]
    other, _ = layer(bias=False)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.to_dense(), module.to_dense())
    module.half()
    assert module.values.dtype == torch.float32
    with pytest.raises(InputError, match="int8"):
        layer(values="int8")[0].learn()


def test_the_gradient_is_the_derivative() -> None:
    module, _ = layer(20, 30, bias=False)
    x, step, probe = inputs(25, 30), inputs(25, 30, seed=8), inputs(25, 20, seed=9)
    x.requires_grad_(True)
    (module(x) * probe).sum().backward()
    # The map is linear: a finite difference of any size is exact up to rounding.
    with torch.no_grad():
        change = ((module(x + step) - module(x)) * probe).sum()
    torch.testing.assert_close((x.grad * step).sum(), change, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("batch", [1, 18])
def test_compiles_as_one_graph(values: str, batch: int) -> None:
    module, _ = layer(values=values)
    x = inputs(batch, 133)
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), module(x))
    x.requires_grad_(True)
    compiled(x).sum().backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())


@pytest.mark.slow
def test_compiles_with_inductor() -> None:
    torch.compiler.reset()
    module, _ = layer(values="bf16")
    compiled = torch.compile(module, fullgraph=True)
    x = inputs(5, 133)
    torch.testing.assert_close(compiled(x), module(x))


def test_operators_pass_the_checks_of_torch() -> None:
    module, _ = layer(values="int8", bias=False)
    for batch in (2, 18):
        x = inputs(batch, 133).requires_grad_(True)
        torch.library.opcheck(
            torch.ops.neurosparse.bitmap_linear.default,
            (x, module.bitmap, module.values, module.scales, module.offsets))
    floating, _ = layer(values="fp32", bias=False)
    floating.learn()
    torch.library.opcheck(
        torch.ops.neurosparse.bitmap_linear.default,
        (inputs(2, 133), floating.bitmap, floating.values, None, floating.offsets))


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("change", ["to", "half", "double", "type", "bfloat16"])
def test_no_cast_touches_the_packed_buffers(values: str, change: str) -> None:
    module, _ = layer(values=values)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    {"to": lambda m: m.to(torch.float16), "half": lambda m: m.half(),
     "double": lambda m: m.double(), "type": lambda m: m.type(torch.float64),
     "bfloat16": lambda m: m.bfloat16()}[change](module)
    for name, buffer in module.named_buffers():
        assert buffer.dtype == before[name].dtype and torch.equal(buffer, before[name]), name
    assert module.bias.dtype != torch.float32
    assert module(inputs(2, 133)).dtype == torch.float32


def test_moves_between_devices() -> None:
    module, weight = layer(values="int8")
    away = copy.deepcopy(module).to("meta")
    assert all(tensor.is_meta for tensor in [*away.buffers(), *away.parameters()])
    assert away(inputs(3, 133).to("meta")).shape == (3, 70)
    back = away.to_empty(device="cpu")
    back.load_state_dict(module.state_dict())
    x = inputs(2, 133)
    assert torch.equal(back(x), module(x)) and torch.equal(back.to_dense(), weight)


@pytest.mark.parametrize("values", VALUES)
def test_the_path_of_other_devices_agrees(values: str) -> None:
    module, weight = layer(values=values)
    rows = module.views()
    elsewhere = arithmetic.Rows(rows.bitmap, rows.values, rows.scales, rows.offsets, 133,
                                rows.kind, None)
    assert torch.equal(arithmetic.tile(elsewhere, 0, 70, torch.float32), weight)
    assert torch.equal(arithmetic.tile(elsewhere, 11, 40, torch.float32), weight[11:40])
    x = inputs(3, 133)
    found = arithmetic.multiply(x, elsewhere, 5, 33)
    torch.testing.assert_close(found, x @ weight[5:33].T, rtol=1e-5, atol=1e-5)


def test_rows_within_a_matrix(level: str) -> None:
    module, weight = layer(values="int8", bias=False)
    for batch in (2, 20):
        x = inputs(batch, 133)
        found = arithmetic.multiply(x, module.views(), 13, 50)
        bound = stated_bound(x, weight[13:50], "int8")
        assert bool(((found - x @ weight[13:50].T).abs() <= bound).all())
        back = arithmetic.multiply_transposed(found, module.views(), 13, 50)
        torch.testing.assert_close(back, found @ weight[13:50], rtol=1e-5, atol=1e-3)


def test_the_state_dict_carries_everything() -> None:
    module, _ = layer(values="int8")
    assert list(module.state_dict()) == ["bias", "bitmap", "values", "scales"]
    other = SparseLinear.from_packed(pack(torch.ones(70, 133), values="int8"), torch.zeros(70))
    other.load_state_dict(module.state_dict())
    x = inputs(2, 133)
    assert torch.equal(other(x), module(x)) and other.nnz == module.nnz
    other.load_state_dict(SparseLinear(pack(torch.eye(70, 133), values="int8"), torch.zeros(70))
                          .state_dict(), assign=True)
    assert other.nnz == 70


def test_copies_do_not_share_and_replaced_buffers_are_seen() -> None:
    module, _ = layer(bias=False)
    x = inputs(1, 133)
    before = module(x)
    twin = copy.deepcopy(module)
    twin.values = twin.values * 2
    torch.testing.assert_close(twin(x), 2 * before)
    assert torch.equal(module(x), before)


def test_values_changed_in_place_are_seen() -> None:
    module, _ = layer(bias=False)
    x = inputs(1, 133)
    before = module(x)
    module.values.mul_(2)
    torch.testing.assert_close(module(x), 2 * before)
    x.requires_grad_(True)  # the operator, which is given tensors, sees it too
    module.values.mul_(2)
    torch.testing.assert_close(module(x), 4 * before)


def test_an_operator_call_does_not_make_the_tile_order_again() -> None:
    module, _ = layer(values="bf16")
    x = inputs(1, 133).requires_grad_(True)
    real = arithmetic.Tiles.from_rows
    with mock.patch.object(arithmetic.Tiles, "from_rows", side_effect=real) as made:
        for _ in range(3):
            module(x)
    assert made.call_count == 1


def test_profilers_see_the_operator() -> None:
    module, _ = layer()
    with torch.profiler.profile() as seen, torch.inference_mode():
        module(inputs(1, 133))
    assert any("neurosparse::bitmap_linear" in event.key for event in seen.key_averages())


def test_wrong_shapes_are_refused() -> None:
    module, _ = layer()
    with pytest.raises(InputError, match="133"):
        module(inputs(2, 132))
    with pytest.raises(InputError, match="bias"):
        SparseLinear(module.packed(), torch.zeros(3))
    broken = module.packed()
    broken.shape = (70, 1000)
    with pytest.raises(InputError, match="bitmap"):
        SparseLinear(broken)


def test_says_what_it_is() -> None:
    module, _ = layer(values="bf16")
    assert "133 -> 70, values=bf16, density=0.39" in repr(module)
    assert "133 -> 70" in repr(module.to("meta"))


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("values", ["bf16", "int8", "int4", "fp16", "fp32"])
def test_many_bfloat16_rows_with_and_without_a_matrix_unit(
        values: str, unit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "MATRIX_UNIT", unit)
    weight = sparse_matrix(70, 200)
    layer = SparseLinear(pack(weight, values=values))
    x = torch.randn(arithmetic.FEW_BY_UNIT, 200, dtype=torch.bfloat16)
    exact = x.double() @ layer.to_dense().double().T
    with torch.inference_mode():
        found = layer(x)
    assert found.dtype == torch.bfloat16
    # bfloat16 rounds what comes out, and with a matrix unit integers times their scales too.
    assert relative_error(found.double(), exact) < 2.0**-7
