"""The head's one row has strides of its own while it matters, and nothing stays behind."""

from __future__ import annotations

import pytest
import torch
from models.families import build, tokens

from neurosparse.models.last_row import last_row


def test_the_head_sees_one_row_and_says_the_same() -> None:
    model = build("llama")
    ids, seen = tokens(1, 9), []
    head = model.get_output_embeddings()
    wanted = model(ids, logits_to_keep=1).logits
    with last_row(model):
        watch = head.register_forward_pre_hook(lambda _, given: seen.append(given[0].stride()))
        found = model(ids, logits_to_keep=1).logits
    watch.remove()
    width = head.in_features
    assert seen == [(width, width, 1)]
    torch.testing.assert_close(found, wanted)
    assert not head._forward_pre_hooks


def test_the_hook_goes_with_an_error() -> None:
    model = build("llama")
    with pytest.raises(ZeroDivisionError), last_row(model):
        raise ZeroDivisionError
    assert not model.get_output_embeddings()._forward_pre_hooks


def test_a_model_without_a_head_is_left_alone() -> None:
    model = build("llama")
    with last_row(model.model):
        assert not model.get_output_embeddings()._forward_pre_hooks
