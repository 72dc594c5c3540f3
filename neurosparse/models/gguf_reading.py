"""Make transformers read a GGUF file once, and without drawing a bar.

transformers 5.23 parses the whole header anew for the configuration, the weights and the tokenizer,
and each time through numpy's ``memmap`` class, whose indexing is slow: with the 262,144 tokens of
Gemma that is a minute of nothing but headers. Inside :func:`read_once` its reader is replaced by
one that works on a plain array and is remembered.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np


def _quick_reader() -> Any:
    """Gguf's own reader, on a plain array over the same memory map."""
    import gguf

    class QuickReader(gguf.GGUFReader):
        @property
        def data(self) -> Any:
            return self._plain

        @data.setter
        def data(self, value: Any) -> None:
            self._plain = np.asarray(value)

    return QuickReader


@contextmanager
def read_once() -> Iterator[None]:
    """Share one GGUF reader a file, and hide the bar of the conversion, inside the context.

    If a later transformers reads otherwise, this changes nothing.
    """
    import gguf

    theirs = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    reader_before, bar_before = gguf.GGUFReader, getattr(theirs, "tqdm", None)
    quick = _quick_reader()
    known: dict[tuple[str, str], Any] = {}

    def reader(path: Any, mode: str = "r") -> Any:
        key = (str(path), mode)
        if key not in known:
            known[key] = quick(path, mode)
        return known[key]

    try:
        setattr(gguf, "GGUFReader", reader)  # noqa: B010 (a class replaced by a function)
        if bar_before is not None:
            setattr(theirs, "tqdm", partial(bar_before, disable=True))  # noqa: B010
        yield
    finally:
        setattr(gguf, "GGUFReader", reader_before)  # noqa: B010
        if bar_before is not None:
            setattr(theirs, "tqdm", bar_before)  # noqa: B010
