"""Walk through a model block by block on a fixed set of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError
from neurosparse.models.blocks import find_blocks
from neurosparse.models.capture import Call, Recorder, first_tensor
from neurosparse.models.context import check_length
from neurosparse.models.hidden import make_store
from neurosparse.models.modality import reads_images
from neurosparse.models.placement import device_of, moved
from neurosparse.models.products import multiplying
from neurosparse.models.streaming import opened
from neurosparse.progress import Progress, silent


class BlockWalk:
    """Replays the decoder blocks of a model one after another on all batches of a token set.

    At construction the model runs up to its first block on every batch, and every block's call
    arguments are recorded; from then on blocks are replayed alone. Memory holds one batch of
    activations, the hidden states of all batches (or, with ``store="disk"``, of one), and of a
    streamed model one block. Attention is the model's own: the masks are those that its own
    forward made. Arguments that are the same for all batches are kept once, those that are not
    (they depend on the tokens) for each batch.

    Parameters
    ----------
    model
        A causal language model in eval mode, in memory, dispatched by accelerate, or streamed.
    tokens
        int64 [windows, length]; of a model that reads images, float [images, channels, height,
        width].
    batch_size
        Windows at a time; the last batch may be smaller.
    store
        ``"memory"``, ``"device"`` or ``"disk"``: where the hidden states are; ``"device"`` keeps
        them on the card that computes them.
    folder
        For ``store="disk"``; a temporary folder by default.
    dtype
        Of the blocks' matrix products, by autocast; the model's own by default. Hidden states,
        norms and weights keep theirs.
    progress
        Called with ("capture", batches done, batches).

    Attributes
    ----------
    model, tokens, blocks
        As given, and as found.
    n_blocks, n_batches
        Counts.
    store, folder, dtype
        As given.

    Raises
    ------
    InputError
        ``tokens`` is not an integer matrix with at least one row, holds ids outside the
        vocabulary, or is longer than the model's context; ``batch_size`` or ``store`` is out of
        range.
    ModelError
        The model has no decoder blocks, or its blocks cannot be replayed one by one.
    """

    def __init__(
        self,
        model: nn.Module,
        tokens: Tensor,
        *,
        batch_size: int = 8,
        store: str = "memory",
        folder: str | Path | None = None,
        dtype: torch.dtype | None = None,
        progress: Progress = silent,
    ) -> None:
        _check_tokens(model, tokens, batch_size)
        self.model = model
        self.tokens = tokens
        self.blocks = find_blocks(model)
        self.n_blocks = len(self.blocks)
        self._batches = list(torch.split(tokens, batch_size))
        self.n_batches = len(self._batches)
        self.store, self.folder, self.dtype = store, folder, dtype
        self._store = make_store(store, folder)
        self._recorder = Recorder(model, self.blocks, partial(_probe, model))
        self._calls: list[list[Call]] = []
        self._entry = _entry_device(model)
        for index, batch in enumerate(self._batches):
            hidden, calls = self._recorder.record(batch.to(self._entry))
            self._store.put(index, hidden)
            self._calls.append(calls)
            progress("capture", index + 1, self.n_batches)

    @contextmanager
    def block(self, index: int) -> Iterator[nn.Module]:
        """Block ``index`` with its weights present.

        Of a streamed model they are read from the safetensors files at entry and dropped at exit,
        with whatever was written to them.

        Raises
        ------
        InputError
            There is no such block.
        """
        self._check_block(index)
        with opened(self.model, index) as module:
            yield module

    def run(self, index: int, *, keep: bool) -> None:
        """Replay block ``index`` on every batch.

        Parameters
        ----------
        keep
            True advances the hidden states to the block's outputs; False leaves them, so that
            only hooks (:func:`watch_inputs`) see what happens.
        """
        with self.block(index), torch.no_grad():
            for batch in range(self.n_batches):
                output = self.run_on(index, self._store.get(batch), batch)
                if keep:
                    self._store.put(batch, output)

    def products(self) -> AbstractContextManager[object]:
        """Matrix products in the walk's ``dtype``; around many replays each weight is cast once."""
        return multiplying(self.blocks.modules[0], self.dtype)

    def look(self, index: int, names: Sequence[str], each: Callable[[int], None] | None = None
             ) -> None:
        """Replay block ``index`` on every batch only as far as the inputs of some modules.

        For hooks (:func:`watch_inputs`), like ``run`` with ``keep=False``, but what comes after
        the last of the modules is left out from the second batch on, where each is called once.

        Parameters
        ----------
        names
            Module paths.
        each
            Called with the number of every batch after it.
        """
        done = each or (lambda _batch: None)
        calls: list[str] = []
        modules = {name: self.model.get_submodule(name) for name in dict.fromkeys(names)}
        with self.block(index), torch.no_grad():
            counting = [module.register_forward_pre_hook(
                lambda _m, _a, name=name: calls.append(name)) for name, module in modules.items()]
            try:
                self.run_on(index, self._store.get(0), 0)
            finally:
                for hook in counting:
                    hook.remove()
            done(0)
            stop = sorted(calls) == sorted(modules) and bool(calls)
            last = modules[calls[-1]].register_forward_pre_hook(_stop) if stop else None
            try:
                for batch in range(1, self.n_batches):
                    with suppress(_Reached):
                        self.run_on(index, self._store.get(batch), batch)
                    done(batch)
            finally:
                if last is not None:
                    last.remove()

    def run_on(self, index: int, hidden: Tensor, batch_index: int) -> Tensor:
        """Block ``index`` on a given hidden state, with the arguments of batch ``batch_index``.

        Gradients flow if the caller has them enabled. The block's weights must be present: of a
        streamed model call this inside ``with walk.block(index)``.

        Parameters
        ----------
        hidden
            [batch, length, width].

        Returns
        -------
        Tensor [batch, length, width]
            On the block's device.
        """
        self._check_block(index)
        self._check_batch(batch_index)
        call = self._calls[batch_index][index]
        block = self.blocks.modules[index]
        with self.products():
            return first_tensor(_replay(block, call, hidden))

    def hidden(self, batch_index: int) -> Tensor:
        """The current hidden state [batch, length, width] of a batch, on the CPU unless the store
        is ``"device"``.
        """
        self._check_batch(batch_index)
        return self._store.get(batch_index)

    def set_hidden(self, batch_index: int, value: Tensor) -> None:
        """Replace the current hidden state of a batch.

        Raises
        ------
        InputError
            The shape is not that of the hidden state it replaces.
        """
        before = self.hidden(batch_index)
        if value.shape != before.shape:
            raise InputError(
                "set a hidden state", found=f"shape {tuple(value.shape)}",
                expected=str(tuple(before.shape)),
            )
        self._store.put(batch_index, value)

    def logits(self, batch_index: int) -> Tensor:
        """What follows the last block (final norm, head, soft cap) on the current hidden state.

        Valid once every block has been run with ``keep=True``.

        Returns
        -------
        Tensor [batch, length, vocabulary]
        """
        self._check_batch(batch_index)
        last = device_of(self.blocks.modules[-1])
        hidden = moved(self._store.get(batch_index), last)
        answer = self._recorder.finish(self._batches[batch_index].to(self._entry), hidden)
        logits: Tensor = answer.logits
        return logits

    def head(self, hidden: Tensor, batch_index: int, start: int = 0) -> Tensor:
        """Final norm, head and soft cap on given hidden states after the last block.

        Gradients flow if the caller has them enabled; a piece of a window is enough, so that the
        logits of a large vocabulary need not be in memory at once.

        Parameters
        ----------
        hidden
            [batch, m, width]: positions ``start`` to ``start + m`` of batch ``batch_index``.

        Returns
        -------
        Tensor [batch, m, vocabulary]
        """
        self._check_batch(batch_index)
        tokens = self._batches[batch_index][: len(hidden)]
        if not tokens.is_floating_point():
            tokens = tokens[:, start : start + hidden.shape[1]]
        there = moved(hidden, device_of(self.blocks.modules[-1]))
        logits: Tensor = self._recorder.finish(
            tokens.to(self._entry), there, grad=torch.is_grad_enabled()).logits
        return logits

    def pieces(self, batch_index: int, numbers: int) -> list[slice]:
        """Positions whose logits are made together, so that they are about ``numbers`` at most.

        An image has one prediction and is never cut.
        """
        self._check_batch(batch_index)
        if self._batches[batch_index].is_floating_point():
            return [slice(0, None)]
        hidden = self._store.get(batch_index)
        with torch.no_grad():
            vocabulary = self.head(hidden[:, :1], batch_index).shape[-1]
        step = max(1, numbers // (vocabulary * len(hidden)))
        return [slice(start, start + step) for start in range(0, hidden.shape[1], step)]

    def _check_block(self, index: int) -> None:
        if not 0 <= index < self.n_blocks:
            raise InputError(
                "walk the blocks", found=f"block {index}", expected=f"0 to {self.n_blocks - 1}"
            )

    def _check_batch(self, index: int) -> None:
        if not 0 <= index < self.n_batches:
            raise InputError(
                "walk the blocks", found=f"batch {index}", expected=f"0 to {self.n_batches - 1}"
            )


class _Reached(BaseException):
    """Everything that was to be seen of a block has been."""


def _stop(_module: nn.Module, _args: Any) -> None:
    raise _Reached


def _replay(block: nn.Module, call: Call, hidden: Tensor) -> Any:
    """The block's answer, computed where its weights are."""
    device = device_of(block)
    there = Call(moved(call.args, device), moved(call.kwargs, device), call.named)
    return there.run(block, moved(hidden, device))


def _probe(model: nn.Module, index: int, call: Call, hidden: Tensor) -> Any:
    """The real block's answer to a recorded call, for its form."""
    with opened(model, index) as block, torch.no_grad():
        return _replay(block, call, hidden)


def _check_tokens(model: nn.Module, tokens: Tensor, batch_size: int) -> None:
    operation = "walk the blocks"
    if reads_images(model):
        good = isinstance(tokens, Tensor) and tokens.dim() == 4 and tokens.is_floating_point()
        if not good or not tokens.numel() or batch_size < 1:
            raise InputError(operation, found="no images" if good else "other inputs",
                             expected="float [images, channels, height, width] and a batch size "
                                      "of at least 1")
        return
    if not isinstance(tokens, Tensor) or tokens.dim() != 2 or tokens.dtype != torch.int64:
        shape = tuple(tokens.shape) if isinstance(tokens, Tensor) else type(tokens).__name__
        raise InputError(operation, found=f"tokens {shape}", expected="int64 [windows, length]")
    if tokens.numel() == 0:
        raise InputError(operation, found="no tokens", expected="at least one window")
    if batch_size < 1:
        raise InputError(operation, found=f"batch_size={batch_size}", expected="at least 1")
    check_length(model, tokens.shape[1], operation)
    getter = getattr(model, "get_input_embeddings", None)
    embedding = getter() if getter is not None else None
    if isinstance(embedding, nn.Embedding):
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= embedding.num_embeddings:
            raise InputError(
                operation, found=f"token ids {low} to {high}",
                expected=f"0 to {embedding.num_embeddings - 1}",
                mend="The tokens were made by another model's tokenizer.",
            )


def _entry_device(model: nn.Module) -> torch.device:
    """Where token ids must be: the device of the embedding."""
    getter = getattr(model, "get_input_embeddings", None)
    if getter is None or reads_images(model):
        return device_of(model)
    return device_of(getter())
