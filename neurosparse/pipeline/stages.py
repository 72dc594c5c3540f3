"""A finished block, whether the model is in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from neurosparse.models import is_streamed
from neurosparse.models.streaming import opened
from neurosparse.pruning import BlockFiles


@contextmanager
def finished_block(model: nn.Module, index: int, files: BlockFiles) -> Iterator[nn.Module]:
    """Block ``index`` as it is after pruning.

    In memory it is just that; of a streamed model the dense block is read and the finished
    weights are put in their place.
    """
    with opened(model, index) as block:
        if is_streamed(model):
            files.put_back(index, block, ())
        yield block
