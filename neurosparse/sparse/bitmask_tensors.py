"""The tensors of a ``sparse-bitmask`` checkpoint, read one weight at a time and checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from neurosparse.errors import FormatError
from neurosparse.sparse.headers import Entry

FORMAT = "sparse-bitmask"
PARTS = ("shape", "compressed", "bitmask", "row_offsets")


class BitmaskReader:
    """Tensors of some files, one at a time."""

    def __init__(self, folder: Path, entries: Mapping[str, Entry]) -> None:
        self._folder, self._entries = folder, entries

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor; what safetensors refuses is a ``FormatError``."""
        try:
            with safe_open(self._entries[name].file, framework="pt") as file:
                found: torch.Tensor = file.get_tensor(name)
                return found
        except (SafetensorError, ValueError, KeyError) as error:
            raise FormatError(f"read {self._folder}", found=f"{name}: {error}",
                              expected="safetensors", mend="Copy it again.") from error

    def parts(self, name: str) -> Iterator[torch.Tensor]:
        """In the order of ``PARTS``."""
        return (self.tensor(f"{name}.{part}") for part in PARTS)


def read_matrix(reader: BitmaskReader, name: str, wanted: tuple[int, ...] | None
                ) -> tuple[torch.Tensor, torch.Tensor]:
    """A dense tensor and its mask, after all parts were found to fit.

    Parameters
    ----------
    wanted
        Shape that the weight has in the model, None where the model has no such weight.

    Returns
    -------
    dense : tensor of that shape, in the dtype of the values
    keep : bool tensor of that shape

    Raises
    ------
    FormatError
        Another shape, or bits, values and offsets that do not belong together. Nothing is
        allocated before the bitmask was found to have the size that the shape says.
    """
    shape, values, bitmask, offsets = reader.parts(name)
    whole = shape.dtype == torch.int64 and shape.ndim == 1 and 1 <= len(shape) <= 2
    size = tuple(shape.tolist()) if whole else ()
    if not whole or size != wanted:
        raise _wrong(name, f"shape {size}", f"{wanted}, as config.json says")
    rows, cols = math.prod(size[:-1]), size[-1]
    if bitmask.dtype != torch.uint8 or bitmask.shape != (*size[:-1], -(-cols // 8)):
        raise _wrong(name, f"a {bitmask.dtype} bitmask {tuple(bitmask.shape)}",
                     f"uint8 {(*size[:-1], -(-cols // 8))}")
    bits = np.unpackbits(bitmask.reshape(rows, -1).numpy(), axis=1, bitorder="little")
    counts = bits.sum(1, dtype=np.int64)
    if bits[:, cols:].any() or values.ndim != 1 or len(values) != int(counts.sum()):
        raise _wrong(name, f"{int(counts.sum())} bits and {tuple(values.shape)} values",
                     f"as many, and no bit after column {cols}")
    starts = torch.from_numpy(np.cumsum(counts) - counts).reshape(size[:-1])
    if not torch.equal(offsets, starts):
        raise _wrong(name, "row_offsets that are not the sum of the bits", "their running sum")
    keep = torch.from_numpy(bits[:, :cols].astype(bool)).reshape(size)
    dense = torch.zeros(size, dtype=values.dtype)
    dense[keep] = values
    return dense, keep


def _wrong(name: str, found: str, expected: str) -> FormatError:
    return FormatError(f"read {name} of a {FORMAT} checkpoint", found=found, expected=expected,
                       mend="The file was changed, or config.json is of another model.")
