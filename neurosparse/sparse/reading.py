"""Read a packed folder: its matrices straight from the mapped files, all else by transformers.

``from_pretrained`` takes every tensor of a file through its renaming and a pool of threads, half a
millisecond each, and first compiles the renaming rules of all its families. The names in a packed
file are the model's own, and most of its tensors are parts of packed matrices. ``read_model`` does
the same steps without rules: it hands the files to the quantizer (``files_handed``), which makes
the packed modules of them, and gives transformers what is not packed. Hashes are computed beside
all that, in a thread; others put matrices into the order of the kernels.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import torch

from neurosparse.errors import FormatError
from neurosparse.models.streaming import build_empty
from neurosparse.sparse.headers import Entry, check_hashes, read_headers

# One hashes, one puts matrices into order, one the vocabulary.
_THREADS = 3
# Bytes that are hashed at a time, a multiple of any page.
_PIECE = 16 << 20
_PARTS = ("bitmap", "values", "scales")
Made = TypeVar("Made")
_STEPS = ("get_init_context", "_get_dtype_plan", "_finalize_model_loading", "set_use_kernels")


class PackedFiles:
    """The weights of a folder, mapped while a model is made of them, and threads beside it.

    Parameters
    ----------
    files
        Of safetensors.
    hashes
        SHA-256 of every file by its name; None where nobody knows.
    meanwhile
        Called once, while the threads have something to do.

    Raises
    ------
    FormatError
        A header that is truncated or wrong.
    """

    def __init__(self, files: Sequence[Path], hashes: dict[str, str] | None,
                 meanwhile: Callable[[], object] = lambda: None) -> None:
        self.files, self.meanwhile = list(files), meanwhile
        self._stack, self._hashing = ExitStack(), None
        self._pool = ThreadPoolExecutor(_THREADS)
        self._stack.callback(self._pool.shutdown)
        self.entries: dict[str, Entry] = {}
        self._mapped = {file: mapped for file in self.files if (mapped := _map(file)) is not None}
        if hashes is not None:
            self._hashing = self._pool.submit(check_hashes, self.files, hashes, self._digest)

    def __enter__(self) -> PackedFiles:
        return self

    def __exit__(self, *error: object) -> None:
        """Wait for the hashes: a file that was changed is what is wrong, whatever followed."""
        try:
            if self._hashing is not None:
                self._hashing.result()
        finally:
            self._stack.close()

    def read(self) -> None:
        """Read the headers."""
        self.entries = read_headers(self.files)

    def _digest(self, file: Path) -> str:
        """SHA-256 of the very bytes that the tensors share.

        In few pieces: between two of them the interpreter is asked for, which the main thread may
        hold for long.
        """
        mapped, digest = self._mapped.get(file), hashlib.sha256()
        size = 0 if mapped is None else len(mapped)
        for at in range(0, size, _PIECE):
            assert mapped is not None
            with memoryview(mapped) as whole:
                digest.update(whole[at : at + _PIECE])
            if hasattr(mmap, "MADV_DONTNEED"):
                # Or else the file is resident as a whole, beside what is made of it.
                mapped.madvise(mmap.MADV_DONTNEED, at, min(_PIECE, size - at))
        return digest.hexdigest()

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, sharing memory with the mapped file."""
        entry = self.entries[name]
        count = math.prod(entry.shape)
        if count == 0:
            return torch.empty(entry.shape, dtype=entry.dtype)
        flat = torch.frombuffer(self._mapped[entry.file], dtype=entry.dtype, count=count,
                                offset=entry.begin)
        return flat.reshape(entry.shape)

    def others(self) -> dict[str, torch.Tensor]:
        """All tensors that are no part of a packed matrix."""
        inside = {f"{name.removesuffix('bitmap')}{part}" for name in self.entries
                  if name.endswith(".bitmap") for part in _PARTS}
        return {name: self.tensor(name) for name in self.entries if name not in inside}

    def beside(self, work: Callable[[], Made]) -> Future[Made]:
        """Do something in a thread."""
        return self._pool.submit(work)


def _map(file: Path) -> mmap.mmap | None:
    """What is written to a tensor never reaches the file. None of an empty one."""
    with open(file, "rb") as handle:
        if os.fstat(handle.fileno()).st_size == 0:
            return None
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY)


_HANDED: ContextVar[PackedFiles | None] = ContextVar("packed files", default=None)


def files_handed() -> PackedFiles | None:
    """The files from which the quantizer is to fill packed modules itself, if any."""
    return _HANDED.get()


@contextmanager
def _handing(files: PackedFiles) -> Iterator[None]:
    token = _HANDED.set(files)
    try:
        yield
    finally:
        _HANDED.reset(token)


def can_read(model_class: Any) -> bool:
    """Whether this transformers has the steps that ``read_model`` takes, as it takes them.

    They are not its public interface: those of 5.20 to 5.24 are known, older ones want other
    arguments.
    """
    try:
        from transformers.core_model_loading import convert_and_load_state_dict_in_model
        from transformers.modeling_utils import LoadStateDictConfig  # noqa: F401
    except ImportError:
        return False
    asked = signature(convert_and_load_state_dict_in_model).parameters.values()
    return (sum(one.default is one.empty for one in asked) == 3
            and all(hasattr(model_class, name) for name in _STEPS))


def read_model(folder: Path, files: Sequence[Path], model_class: Any, *, dtype: str,
               hashes: dict[str, str] | None, meanwhile: Callable[[], object] = lambda: None
               ) -> tuple[Any, dict[str, Any]]:
    """A model on the CPU, and what ``from_pretrained`` says of its keys.

    Parameters
    ----------
    folder
        Of the packed model.
    files
        Of its weights.
    model_class
        Class of transformers (no Auto class).
    dtype
        As for ``sparse.load``.
    hashes, meanwhile
        As in ``PackedFiles``.

    Raises
    ------
    FormatError
        As ``sparse.load``; and what transformers raises.
    """
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig

    from neurosparse.sparse.quantizer import NeurosparseConfig, NeurosparseQuantizer

    with PackedFiles(files, hashes, meanwhile) as held:
        config = model_class.config_class.from_pretrained(folder, local_files_only=True)
        if not isinstance(config.model_type, str):
            raise FormatError("read config.json", found=f"model_type={config.model_type!r}",
                              expected="a family of transformers")
        packing = NeurosparseConfig(**config.quantization_config)
        kind = _set_dtype(config, dtype)
        config.name_or_path, config.quantization_config = str(folder), packing
        held.read()
        model: Any = build_empty(model_class, config, dtype=kind)
        quantizer = NeurosparseQuantizer(packing, pre_quantized=True)
        with _handing(held):
            quantizer.preprocess_model(model=model, dtype=kind)
            how = LoadStateDictConfig(
                pretrained_model_name_or_path=str(folder), ignore_mismatched_sizes=True,
                dtype=kind, dtype_plan=model._get_dtype_plan(kind), hf_quantizer=quantizer)
            info, _ = convert_and_load_state_dict_in_model(model, held.others(), how)
            info = model_class._finalize_model_loading(model, how, info)
            model.eval().set_use_kernels(False)
            model.hf_quantizer = quantizer
            quantizer.postprocess_model(model)
    _generation(model, folder)
    return model, info.to_dict()


def _set_dtype(config: Any, dtype: str) -> torch.dtype:
    """What the parameters become; the configuration, and those inside it, say so too."""
    kind = config.dtype if dtype == "auto" else getattr(torch, dtype)
    if not isinstance(kind, torch.dtype):
        raise FormatError("read config.json", found=f"dtype={kind!r}", expected="a dtype",
                          mend="Load with a dtype of your own.")
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        if part is not None:
            part.dtype = kind
    return kind


def _generation(model: Any, folder: Path) -> None:
    """What ``from_pretrained`` does where it is given the folder."""
    from transformers import GenerationConfig

    if not model.can_generate():
        return
    try:
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        model.generation_config = GenerationConfig.from_pretrained(
            folder, config_file_name="config.json", local_files_only=True,
            _from_model_config=True)
