"""Put the matrices of a mapped file into the order of the kernels, beside everything else.

A thread begins as soon as the modules are there and takes matrices from the end, while transformers
fills the rest of the model and the tokenizer is read; whoever made the model joins from the
beginning. Reading a tokenizer holds the interpreter for a tenth of a second, so matrices are put
into order in batches, each one call that does without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

import torch

from neurosparse.compiled import working_alone
from neurosparse.sparse.arithmetic import Rows, all_in_order
from neurosparse.sparse.pages import Forgetting
from neurosparse.sparse.reading import PackedFiles
from neurosparse.sparse.rows import PackedRows
from neurosparse.tiles import Tiles

# Bytes of a batch as they are stored.
_BATCH = 128 << 20


class Ordering:
    """The work on some modules, begun at once; nobody may touch them until ``finish``.

    Parameters
    ----------
    modules
        As ``install`` made them of mapped files: they are hidden until the end.
    held
        The files.
    vocabulary
        What the tensors of rounded rows of an output head begin with, if there is one.
    """

    def __init__(self, modules: Iterable[PackedRows], held: PackedFiles,
                 vocabulary: str | None = None) -> None:
        self._forgetting = Forgetting([str(file) for file in held.files])
        self._hidden = [(module, module.hide()) for module in modules]
        self._views: dict[PackedRows, Rows] = {}
        # Experts are ordered one by one, at their first product.
        self._waiting = deque(_batches([one for one in self._hidden if one[0].parts == 1]))
        self._other = held.beside(self._aside)
        self._rows: tuple[torch.Tensor, Future[Tiles]] | None = None
        if vocabulary is not None:
            rows = held.tensor(f"{vocabulary}.weight")
            self._rows = rows, held.beside(partial(_tiles_of, rows,
                                                   held.tensor(f"{vocabulary}.scales")))

    def finish(self, head: Any) -> None:
        """Do what is left, and show the modules.

        Parameters
        ----------
        head
            The model's output head; a ``RoundedHead`` where ``vocabulary`` was given.

        Raises
        ------
        FormatError
            A matrix whose values are not those of its bits.
        """
        self._work(aside=False)
        self._other.result()
        for module, _ in self._hidden:
            module.show(self._views.get(module))
        if self._rows is not None:
            rows, tiles = self._rows
            head.adopt(tiles.result(), rows)
            self._forgetting.add(rows)
        self._forgetting.flush()

    def _aside(self) -> None:
        with working_alone():  # the other threads of the pool would take the caller's core
            self._work(aside=True)

    def _work(self, aside: bool) -> None:
        while self._waiting:
            with suppress(IndexError):  # the other one took the last
                self._order(self._waiting.pop() if aside else self._waiting.popleft())

    def _order(self, batch: list[tuple[PackedRows, dict[str, Any]]]) -> None:
        matrices = [(parts["bitmap"], parts["values"], parts["scales"], module.cols)
                    for module, parts in batch]
        mapped = all(self._forgetting.knows(parts["bitmap"])
                     and self._forgetting.knows(parts["values"]) for _, parts in batch)
        for (module, parts), rows in zip(batch, all_in_order(matrices, mapped=mapped), strict=True):
            parts["offsets"], self._views[module] = rows.offsets, rows
            # Nothing has been changed yet: the file has these bytes.
            self._forgetting.add(parts["bitmap"])
            self._forgetting.add(parts["values"])


def _tiles_of(weight: torch.Tensor, scales: torch.Tensor) -> Tiles:
    with working_alone():
        return Tiles.from_dense(weight.numpy(), "int8", scales.numpy())


def _batches(hidden: list[tuple[PackedRows, dict[str, Any]]]
             ) -> list[list[tuple[PackedRows, dict[str, Any]]]]:
    batches: list[list[tuple[PackedRows, dict[str, Any]]]] = []
    room = 0
    for module, parts in hidden:
        size = parts["bitmap"].nbytes + parts["values"].nbytes
        if not batches or size > room:
            batches.append([])
            room = _BATCH
        batches[-1].append((module, parts))
        room -= size
    return batches
