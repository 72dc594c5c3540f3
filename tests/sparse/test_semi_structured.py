"""2:4: the check of the pattern, the errors, and the product where there is a card."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from neurosparse.errors import InputError
from neurosparse.pruning import lowest_by_group
from neurosparse.sparse import is_two_to_four, to_semi_structured


def linear(rows: int = 64, cols: int = 128, *, dtype: torch.dtype = torch.bfloat16) -> nn.Linear:
    """A linear pruned 2:4."""
    made = nn.Linear(cols, rows, bias=False)
    weight = torch.randn(rows, cols, generator=torch.Generator().manual_seed(0))
    keep = lowest_by_group(weight.abs(), 4, rows * cols // 2)
    made.weight.data = (weight * keep).to(dtype)
    return made


def test_the_pattern_is_seen() -> None:
    weight = linear().weight.detach()
    assert is_two_to_four(weight) and is_two_to_four(torch.zeros(3, 8))
    assert is_two_to_four(torch.tensor([[0.0, 1, 0, 1, 1, 0, 0, 0]]))
    assert not is_two_to_four(torch.tensor([[0.0, 1, 1, 1, 0, 0, 0, 0]]))
    assert not is_two_to_four(torch.zeros(2, 6)) and not is_two_to_four(torch.zeros(8))


@pytest.mark.parametrize(("module", "message"), [
    (linear(60), "multiples of"), (linear(64, 96), "multiples of"),
    (linear(dtype=torch.float32), "bfloat16 or float16"),
    (nn.Linear(128, 64, bias=False, dtype=torch.bfloat16), "more than two of four"),
    (linear(), "on cpu"),
])
def test_what_cannot_be_is_refused_and_left_alone(module: nn.Linear, message: str) -> None:
    before = module.weight
    with pytest.raises(InputError, match=message):
        to_semi_structured(module)
    assert module.weight is before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_product_is_that_of_the_dense_weight() -> None:
    module = linear().cuda()
    x = torch.randn(16, 128, device="cuda", dtype=torch.bfloat16)
    want = x.double() @ module.weight.detach().double().T
    found = to_semi_structured(module)(x)
    torch.testing.assert_close(found.double(), want, rtol=2**-7, atol=2**-7)
