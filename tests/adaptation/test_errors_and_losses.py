"""Reconstruction errors of blocks, CKA, and the divergence with its gradient."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losa_cases import sparse_model, tiny_windows
from tiny import tiny_model
from torch.nn import functional

from neurosparse.adaptation import dense_outputs, kl_to_dense, next_token_loss, relative_error
from neurosparse.adaptation.distillation import blocks_to_dense, loss_of


def test_relative_error_properties() -> None:
    """Papers.md section 3 (f) 6."""
    y = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    assert relative_error(y, y) == 0.0
    assert abs(relative_error(y, torch.zeros_like(y)) - 1) < 1e-12
    other = y + 0.1
    scale = torch.tensor([1.0, 1e3, 1e-3, 2.0, 5.0, 0.1, 10.0])
    assert abs(relative_error(y * scale, other * scale) - relative_error(y, other)) < 1e-5
    y[:, 2] = 0.0
    assert relative_error(y, y + 0.0) == 0.0


def test_dense_outputs_are_the_hidden_states() -> None:
    model, tokens = tiny_model(), tiny_windows(4, 16)
    found = dense_outputs(model, tokens, batch_size=2)
    hidden = model(tokens, output_hidden_states=True).hidden_states
    assert len(found) == 3 and len(found[0]) == 2
    torch.testing.assert_close(torch.cat(found[0]), hidden[1])
    torch.testing.assert_close(torch.cat(found[1]), hidden[2])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), tokens=st.integers(1, 6), words=st.integers(2, 40))
def test_divergence_is_that_of_torch(seed: int, tokens: int, words: int) -> None:
    g = torch.Generator().manual_seed(seed)
    ours = torch.randn(1, tokens, words, generator=g).mul_(3).requires_grad_()
    dense = torch.randn(1, tokens, words, generator=g) * 3
    theirs = ours.detach().clone().requires_grad_()
    mine = kl_to_dense(ours, dense)
    plain = functional.kl_div(theirs.log_softmax(-1), dense.log_softmax(-1), log_target=True,
                              reduction="sum") / tokens
    torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-5)
    (2 * mine).backward()
    (2 * plain).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
    assert float(kl_to_dense(dense, dense)) == 0.0


def test_next_token_loss_is_the_models_own() -> None:
    model, tokens = tiny_model(), tiny_windows(2, 16)
    out = model(input_ids=tokens, labels=tokens)
    torch.testing.assert_close(next_token_loss(out.logits, tokens), out.loss)


def test_block_loss_is_the_mean_relative_error() -> None:
    """The loss and the error that ranks are given by are one number."""
    generator = torch.Generator().manual_seed(3)
    dense = [torch.randn(2, 5, 4, generator=generator) for _ in range(3)]
    dense[1][..., 2] = 0.0
    ours = [one + 0.1 * torch.randn(one.shape, generator=generator) for one in dense]
    expected = sum(relative_error(*pair) for pair in zip(dense, ours, strict=True)) / 3
    assert abs(float(blocks_to_dense(ours, dense)) - expected) < 1e-6
    assert float(blocks_to_dense(dense, dense)) == 0.0


def test_block_loss_has_the_gradient_of_its_value() -> None:
    generator = torch.Generator().manual_seed(4)
    dense = torch.randn(1, 6, 3, generator=generator)
    ours = (dense + 0.2).requires_grad_(True)
    blocks_to_dense([ours], [dense]).backward()
    # d/dy' of mean_c |y - y'|^2 / |y|^2 is 2 (y' - y) / (channels |y_c|^2)
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, 2 * 0.2 / 3 / dense.square().sum((0, 1)) *
                               torch.ones_like(dense))


def test_block_loss_adds_to_the_others() -> None:
    dense, sparse, tokens = tiny_model(), sparse_model(), tiny_windows(2, 16)
    plain = loss_of(sparse, tokens, dense, 0.5)
    both = loss_of(sparse, tokens, dense, 0.5, 0.3)
    hidden = [one(tokens, output_hidden_states=True).hidden_states[1:] for one in (sparse, dense)]
    torch.testing.assert_close(both, plain + 0.3 * blocks_to_dense(*hidden))
    assert float(both - plain) > 0
    torch.testing.assert_close(loss_of(dense, tokens, dense, 0.0, 0.3),
                               loss_of(dense, tokens, None, 0.0))
