"""The KL divergence of logits against the same in float64."""

from __future__ import annotations

import pytest
import torch

from neurosparse.measure.divergence import divergence


def _exact(dense: torch.Tensor, found: torch.Tensor) -> float:
    p, q = (one.double().log_softmax(-1) for one in (dense, found))
    return float((p.exp() * (p - q)).sum())


@pytest.mark.parametrize("size", [1e-5, 1e-3, 0.1, 1.0, 10.0, 60.0])
def test_it_keeps_its_digits_at_every_size(size: float) -> None:
    draws = torch.Generator().manual_seed(3)
    dense = 3 * torch.randn(2, 40, 9000, generator=draws)
    found = dense + size * torch.randn(2, 40, 9000, generator=draws)
    wanted = _exact(dense, found)
    assert wanted > 0
    assert divergence(dense, found) == pytest.approx(wanted, rel=1e-4)


def test_a_shift_of_all_logits_is_nothing() -> None:
    dense = torch.randn(5, 700, generator=torch.Generator().manual_seed(1))
    assert divergence(dense, dense) == 0.0
    assert divergence(dense, dense + 4.0) == pytest.approx(0.0, abs=1e-11)


def test_probability_that_moves_wholly() -> None:
    dense, found = torch.zeros(1, 4), torch.zeros(1, 4)
    dense[0, 0], found[0, 3] = 100.0, 100.0
    assert divergence(dense, found) == pytest.approx(100.0, rel=1e-6)
