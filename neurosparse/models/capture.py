"""Record how a model calls its blocks, by standing in for them.

transformers 5 gives every block its own keyword arguments (masks that differ between sliding and
full attention, rotary tables, position ids), and blocks answer with a tensor or a tuple. Rather
than rebuild any of that, the model itself is run with the blocks' ``forward`` replaced by
recorders, so whatever its own forward would have passed is what a replay passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.errors import ModelError, NeurosparseError
from neurosparse.models.blocks import Blocks
from neurosparse.models.quiet import quiet

Forward = Callable[..., Any]
_REMEMBERED = 4


@dataclass(frozen=True)
class Call:
    """What one block was called with, beside the hidden state.

    Parameters
    ----------
    args
        Positional arguments after the hidden state.
    kwargs
        Keyword arguments.
    named
        Whether the hidden state itself was passed as ``hidden_states=``.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    named: bool

    def run(self, block: Forward, hidden: Tensor) -> Any:
        """Call ``block`` in the same way on another hidden state."""
        if self.named:
            return block(*self.args, hidden_states=hidden, **self.kwargs)
        return block(hidden, *self.args, **self.kwargs)


class Finished(BaseException):
    """The last block has been reached: what follows (the head, a large product) is not needed.

    Not an ``Exception``, so that no handler in a model's forward takes it for a failure.
    """


def first_tensor(output: Any) -> Tensor:
    """The hidden state in a block's answer, which is a tensor or a tuple that starts with one."""
    hidden = output if isinstance(output, Tensor) else output[0]
    if not isinstance(hidden, Tensor):
        raise ModelError(
            "replay a block", found=f"an answer of type {type(output).__name__}",
            expected="a tensor, or a tuple that starts with one",
        )
    return hidden


def same_form(output: Any, hidden: Tensor) -> Any:
    """``hidden`` in the form of ``output``: bare, or first in a tuple of the same length."""
    if isinstance(output, Tensor):
        return hidden
    rest = (None if isinstance(item, Tensor) else item for item in output[1:])
    return (hidden, *rest) if isinstance(output, tuple) else [hidden, *rest]


class Interner:
    """Keeps one copy of equal tensors, so that arguments common to all batches cost once.

    Most arguments do not depend on the batch at all (a causal mask, rotary tables); those that do
    stay apart.
    """

    def __init__(self) -> None:
        self._known: dict[Any, list[Tensor]] = {}

    def tensor(self, value: Tensor) -> Tensor:
        """An equal tensor met before, or this one."""
        key = (tuple(value.shape), value.dtype, value.device)
        bucket = self._known.setdefault(key, [])
        for known in bucket:
            if known is value or torch.equal(known, value):
                return known
        bucket.append(value)
        del bucket[:-_REMEMBERED]
        return value

    def value(self, value: Any) -> Any:
        """The same through tuples, lists and dicts; caches of keys and values are left out."""
        if isinstance(value, Tensor):
            return self.tensor(value.detach())
        if isinstance(value, dict):
            return {key: self.value(inner) for key, inner in value.items()}
        if type(value) in (tuple, list):
            return type(value)(self.value(inner) for inner in value)
        return None if _is_cache(value) else value


def _is_cache(value: Any) -> bool:
    from transformers.cache_utils import Cache

    return isinstance(value, Cache)


@contextmanager
def standing_in(blocks: Blocks, stand_in: Callable[[int], Forward]) -> Iterator[None]:
    """Replace the ``forward`` of the blocks inside the context.

    The module stays in place, so attributes that the model reads from it (an attention type) are
    still there; a ``forward`` that accelerate has put on the instance comes back at the end.
    """
    before = own_forwards(blocks)
    try:
        for index, block in enumerate(blocks.modules):
            block.__dict__["forward"] = stand_in(index)
        yield
    finally:
        for block, forward in zip(blocks.modules, before, strict=True):
            _put_back(block, forward)


def own_forwards(blocks: Blocks) -> list[Forward | None]:
    """The ``forward`` that each block instance carries itself, where accelerate has put one."""
    return [block.__dict__.get("forward") for block in blocks.modules]


def _put_back(block: nn.Module, forward: Forward | None) -> None:
    if forward is None:
        block.__dict__.pop("forward", None)
    else:
        block.__dict__["forward"] = forward


@contextmanager
def absent(block: nn.Module, forward: Forward | None) -> Iterator[None]:
    """Take one block's stand-in away inside the context."""
    stand_in = block.__dict__["forward"]
    _put_back(block, forward)
    try:
        yield
    finally:
        block.__dict__["forward"] = stand_in


def _read_call(args: tuple[Any, ...], kwargs: dict[str, Any], interner: Interner) -> Call:
    named = "hidden_states" in kwargs
    rest = args if named else args[1:]
    kept = {
        key: False if key == "use_cache" else interner.value(value)
        for key, value in kwargs.items()
        if key != "hidden_states"
    }
    return Call(tuple(interner.value(value) for value in rest), kept, named)


def run_model(model: nn.Module, tokens: Tensor, *, grad: bool = False) -> Any:
    """One forward pass without caches or noise, and without gradients unless asked.

    Raises
    ------
    ModelError
        The model cannot be run on token ids alone.
    """
    try:
        with torch.set_grad_enabled(grad), quiet():
            if tokens.is_floating_point():
                return model(pixel_values=tokens)
            return model(input_ids=tokens, use_cache=False)
    except NeurosparseError:
        raise
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"run {type(model).__name__}", found=str(error).strip().splitlines()[0],
            expected="a model that runs on token ids (or images) alone",
        ) from error


class Recorder:
    """Runs the model up to its last block and records every block's call.

    Parameters
    ----------
    model, blocks
        The model and its blocks.
    probe
        ``probe(index, call, hidden)`` runs the real block; asked once for every class of block,
        on the first batch, to learn the form of its answer.
    """

    def __init__(
        self, model: nn.Module, blocks: Blocks, probe: Callable[[int, Call, Tensor], Any]
    ) -> None:
        self.model = model
        self.blocks = blocks
        self.forms: dict[type[nn.Module], Any] = {}
        self._probe = probe
        self._interner = Interner()

    def form(self, index: int, hidden: Tensor) -> Any:
        """``hidden`` in the form in which block ``index`` answers."""
        return same_form(self.forms[type(self.blocks.modules[index])], hidden)

    def record(self, tokens: Tensor) -> tuple[Tensor, list[Call]]:
        """The first block's hidden state and every block's call, for one batch.

        Raises
        ------
        ModelError
            The model does not pass the hidden state from block to block unchanged, or does not
            call its blocks once each in order.
        """
        calls: list[Call] = []
        start: list[Tensor] = []
        before = own_forwards(self.blocks)

        def stand_in(index: int) -> Forward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
                self._check(index, hidden, start, len(calls))
                call = _read_call(args, kwargs, self._interner)
                calls.append(call)
                kind = type(self.blocks.modules[index])
                if kind not in self.forms:
                    with absent(self.blocks.modules[index], before[index]):
                        self.forms[kind] = self._probe(index, call, hidden)
                if index == len(self.blocks) - 1:
                    raise Finished
                return self.form(index, hidden)

            return forward

        try:
            with standing_in(self.blocks, stand_in):
                run_model(self.model, tokens)
        except Finished:
            pass
        if len(calls) != len(self.blocks):
            raise self._order(f"{len(calls)} of {len(self.blocks)} blocks called")
        self.forms = {kind: same_form(form, start[0][:0]) for kind, form in self.forms.items()}
        return start[0], calls

    def _check(self, index: int, hidden: Any, start: list[Tensor], done: int) -> None:
        if index != done:
            raise self._order(f"block {index} called as number {done}")
        if not isinstance(hidden, Tensor):
            raise self._order(f"block {index} called without a hidden state")
        if not start:
            start.append(hidden.detach())
        elif hidden.data_ptr() != start[0].data_ptr() and not torch.equal(
            hidden.to(start[0].device), start[0]
        ):
            raise self._order(f"the hidden state changed between blocks {index - 1} and {index}")

    def _order(self, found: str) -> ModelError:
        return ModelError(
            f"record the blocks of {type(self.model).__name__}", found=found,
            expected="blocks called once each, in order, each on the answer of the one before",
        )

    def finish(self, tokens: Tensor, hidden: Tensor, *, grad: bool = False) -> Any:
        """Run what follows the last block on ``hidden``; returns the model's whole answer."""

        def stand_in(index: int) -> Forward:
            return lambda *args, **kwargs: self.form(index, hidden)

        with standing_in(self.blocks, stand_in):
            return run_model(self.model, tokens, grad=grad)
