"""The last row of hidden states, as the head should see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def last_row(model: Any) -> Iterator[None]:
    """While the body runs, the output head gets rows with strides of their own.

    Asked for the last logits alone, transformers cuts one row out of all hidden states. It keeps
    the strides of all, which makes torch (2.13) transpose a copy of the head's whole weight in
    bfloat16: 80 ms for SmolLM2's vocabulary, where the product takes 2.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module):
        yield
        return
    handle = head.register_forward_pre_hook(
        lambda _, given: (given[0].clone(memory_format=torch.contiguous_format), *given[1:]))
    try:
        yield
    finally:
        handle.remove()
