"""Perplexity against its definition; errors against resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import tiny_model

from neurosparse.errors import InputError
from neurosparse.measure import Perplexity, paired_difference, perplexity


def _tokens(windows: int, length: int = 16) -> torch.Tensor:
    return torch.randint(0, 100, (windows, length), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_it_is_the_exponential_of_the_mean_negative_log_likelihood(batch_size: int) -> None:
    model, tokens = tiny_model(), _tokens(5)
    logs = model(tokens).logits.double().log_softmax(-1)
    nll = -logs[:, :-1].gather(2, tokens[:, 1:, None]).squeeze(2)
    found = perplexity(model, tokens, batch_size=batch_size)
    assert found.value == pytest.approx(math.exp(float(nll.mean())), rel=1e-6)
    assert np.allclose(found.nll, nll.mean(1), rtol=1e-6)
    assert found.predictions == 15


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary() -> None:
    model = tiny_model()
    model.lm_head.weight.zero_()
    assert perplexity(model, _tokens(2)).value == pytest.approx(100, rel=1e-5)


def test_standard_error_agrees_with_the_spread_of_repeats() -> None:
    rng = np.random.default_rng(0)
    values = [Perplexity(rng.normal(2.0, 0.3, 40), 10) for _ in range(400)]
    spread = float(np.std([v.value for v in values]))
    assert np.mean([v.stderr for v in values]) == pytest.approx(spread, rel=0.15)
    assert math.isnan(Perplexity(np.array([1.0]), 10).stderr)


def test_paired_errors_are_smaller_than_unpaired_ones() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(2.0, 0.5, 64)
    first, second = Perplexity(base, 9), Perplexity(base + 0.1 + rng.normal(0, 0.01, 64), 9)
    difference, error = paired_difference(first, second)
    assert difference == pytest.approx(0.1, abs=0.005)
    assert error < 0.003
    with pytest.raises(InputError, match="windows"):
        paired_difference(first, Perplexity(base[:5], 9))


@pytest.mark.parametrize("shape", [(0, 4), (2, 1), (4,)])
def test_windows_that_predict_nothing_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="windows"):
        perplexity(tiny_model(), torch.zeros(shape, dtype=torch.int64))
