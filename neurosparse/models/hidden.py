"""Hidden states of all batches: in memory, where they were computed, or in .npy files."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neurosparse.errors import InputError
from neurosparse.files import translated_errors


class HiddenStore(Protocol):
    """One tensor [batch, length, width] a batch, on the CPU but for ``DeviceStore``."""

    def get(self, index: int) -> Tensor:
        """The hidden state of a batch."""

    def put(self, index: int, value: Tensor) -> None:
        """Replace it."""


class MemoryStore:
    """Hidden states in CPU memory."""

    def __init__(self) -> None:
        self._values: dict[int, Tensor] = {}

    def get(self, index: int) -> Tensor:
        """The hidden state of a batch."""
        return self._values[index]

    def put(self, index: int, value: Tensor) -> None:
        """Replace it."""
        self._values[index] = value.detach().cpu()


class DeviceStore(MemoryStore):
    """Hidden states on the device that computed them.

    A block on a card reads and writes them all: over PCIe that takes as long as the block itself.
    """

    def put(self, index: int, value: Tensor) -> None:
        """Replace it."""
        self._values[index] = value.detach()


class DiskStore:
    """Hidden states in ``folder/hidden-<batch>.npy``, replaced whole at each step.

    bfloat16, which NumPy does not have, is stored as its 16-bit patterns.

    Parameters
    ----------
    folder
        Made if absent; None is a temporary folder that goes with this object.
    """

    def __init__(self, folder: str | Path | None) -> None:
        if folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="neurosparse-hidden-"))
            weakref.finalize(self, shutil.rmtree, self.folder, True)
        else:
            self.folder = Path(folder)
            with translated_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
        self._dtypes: dict[int, torch.dtype] = {}

    def _path(self, index: int) -> Path:
        return self.folder / f"hidden-{index:05d}.npy"

    def get(self, index: int) -> Tensor:
        """The hidden state of a batch, read from its file."""
        mapped = np.load(self._path(index), mmap_mode="r", allow_pickle=False)
        value = torch.from_numpy(np.array(mapped))
        return value.view(torch.bfloat16) if self._dtypes[index] is torch.bfloat16 else value

    def put(self, index: int, value: Tensor) -> None:
        """Replace it.

        Raises
        ------
        StorageError
            The disk is full or the folder cannot be written.
        """
        value = value.detach().cpu().contiguous()
        self._dtypes[index] = value.dtype
        array = (value.view(torch.int16) if value.dtype is torch.bfloat16 else value).numpy()
        path = self._path(index)
        beside = path.with_suffix(".part")
        with translated_errors(path):
            try:
                with open(beside, "wb") as handle:
                    np.save(handle, array, allow_pickle=False)
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)


def make_store(store: str, folder: str | Path | None) -> HiddenStore:
    """The store of that name.

    Raises
    ------
    InputError
        ``store`` is not "memory", "device" or "disk".
    """
    if store == "memory":
        return MemoryStore()
    if store == "device":
        return DeviceStore()
    if store == "disk":
        return DiskStore(folder)
    raise InputError("walk the blocks", found=f"store={store!r}",
                     expected='"memory", "device" or "disk"')
