"""SparseExperts against the fused experts of transformers."""

from __future__ import annotations

import pytest
import torch
from sparse_cases import CONFIGS, parts_error, relative_error, sparse_matrix
from torch import nn
from transformers.models.mixtral.modeling_mixtral import MixtralExperts

from neurosparse.errors import ModelError
from neurosparse.sparse import VALUES, SparseExperts, pack, unpack


def experts(values: str = "fp32") -> tuple[SparseExperts, nn.Module]:
    """Packed experts, and transformers' own with the same weights."""
    dense = MixtralExperts(CONFIGS["mixtral"]())
    dense.config._experts_implementation = "eager"
    parts = {}
    with torch.no_grad():
        for seed, (name, parameter) in enumerate(dense.named_parameters()):
            count, rows, cols = parameter.shape
            parts[name] = pack(sparse_matrix(count * rows, cols, seed=seed), values=values)
            parameter.copy_(unpack(parts[name]).reshape(parameter.shape))
    return SparseExperts.in_place_of(dense, **parts), dense.requires_grad_(False)


def routed(tokens: int, *, chosen: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    x = torch.randn(tokens, 48, generator=generator)
    index = torch.rand(tokens, 4, generator=generator).argsort(1)[:, :chosen]
    weights = torch.rand(tokens, chosen, generator=generator)
    return x, index, weights


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("tokens", [1, 3, 60])
def test_agrees_with_transformers(values: str, tokens: int, level: str) -> None:
    packed, dense = experts(values)
    call = routed(tokens)
    assert relative_error(packed(*call), dense(*call)) < parts_error(values), level


def test_gradients_agree_with_transformers() -> None:
    packed, dense = experts("bf16")
    x, index, weights = routed(9)
    grads = []
    for module in (packed, dense):
        left, right = x.clone().requires_grad_(True), weights.clone().requires_grad_(True)
        module(left, index, right).square().sum().backward()
        grads.append((left.grad, right.grad))
    for found, wanted in zip(*grads, strict=True):
        assert relative_error(found, wanted) < 1e-5


def test_values_of_experts_learn() -> None:
    packed, dense = experts("fp32")
    dense.requires_grad_(True)
    part = packed.down_proj
    learning = part.learn()
    call = routed(9)
    packed(*call).square().sum().backward()
    dense(*call).square().sum().backward()
    weight = dense.get_parameter("down_proj")
    wanted = weight.grad.flatten(0, 1)[weight.flatten(0, 1) != 0]
    assert relative_error(learning.grad[: part.nnz], wanted) < 1e-4


def test_nobody_is_chosen_and_an_expert_is_idle() -> None:
    packed, _ = experts()
    x, index, weights = routed(3)
    assert torch.equal(packed(x, torch.full_like(index, 4), weights), torch.zeros_like(x))
    half = packed(x, torch.where(index == 2, 4, index), weights)
    assert bool(torch.isfinite(half).all())


@pytest.mark.parametrize("tokens", [1, 12])
def test_compiles_as_one_graph(tokens: int) -> None:
    packed, _ = experts("int8")
    call = routed(tokens)
    torch.compiler.reset()
    compiled = torch.compile(packed, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*call), packed(*call))


def test_operators_pass_the_checks_of_torch() -> None:
    part = experts("int8")[0].down_proj
    x = torch.randn(6, 72, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    ends = torch.tensor([2, 2, 5, 6])
    torch.library.opcheck(
        torch.ops.neurosparse.bitmap_grouped_linear.default,
        (x, ends, part.bitmap, part.values, part.scales, part.offsets))


def test_casts_leave_the_values_and_half_inputs_work() -> None:
    packed, dense = experts("bf16")
    packed.half()
    assert packed.gate_up_proj.values.dtype == torch.bfloat16
    x, index, weights = routed(8)
    found = packed(x.bfloat16(), index, weights)
    assert found.dtype == torch.bfloat16
    assert relative_error(found.float(), dense(x, index, weights)) < 0.05


def test_parts_must_fit_together() -> None:
    part = pack(torch.ones(12, 4))
    with pytest.raises(ModelError):
        SparseExperts(part, part, num_experts=2, act_fn=nn.SiLU())
