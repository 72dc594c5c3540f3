"""From a name to the first token, in a process that does nothing else."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from neurosparse.errors import NeurosparseError
from neurosparse.measure import using_threads
from neurosparse.models import resolve
from neurosparse.pipeline.opening import open_model
from neurosparse.records import peak_memory
from neurosparse.sparse import TorchLoop, is_packed
from neurosparse.sparse.description import read_description
from neurosparse.sparse.headers import check_hashes

_CHUNK = 1 << 24
_STEPS = 4


def first_token(name: str, prompt: torch.Tensor, *, dtype: str = "bfloat16",
                device: str = "cpu", threads: int | None = None) -> dict[str, float]:
    """Load a model and read a prompt, once, with its files in the page cache.

    Meant for a fresh process: see ``first_token_alone``.

    Parameters
    ----------
    name
        Packed folder, or what ``models.load`` takes.
    prompt : int64 tensor of shape (1, length)
    threads
        Of the products; as they are by default.

    Returns
    -------
    dict
        ``load_s`` (model and tokenizer), ``prompt_s``, ``first_token_s`` (both), ``cpu_s`` (of
        both, all threads together), ``hash_s`` (checking the SHA-256 of the files by itself;
        loading does it in a thread beside the rest; 0 where there is none),
        ``peak_memory_bytes`` (after four tokens more), ``libraries_memory_bytes`` (before
        loading).
    """
    files = _files(name)
    for file in files:
        _read(file)
    libraries = peak_memory()
    hashing = 0.0
    if is_packed(name) and (known := read_description(name).get("sha256")):
        begin = time.perf_counter()
        check_hashes(files, known)
        hashing = time.perf_counter() - begin
    # A pass of the collector over all objects of the libraries takes longer than reading a small
    # model, and would fall on whichever model happens to cross the threshold.
    gc.collect()
    gc.freeze()
    with using_threads(threads):
        begin, spent = time.perf_counter(), time.process_time()
        model = open_model(name, dtype=dtype, device=device).model
        loaded = time.perf_counter()
        loop = TorchLoop(model)
        token = int(loop.prefill(prompt).argmax())
        finished, spent = time.perf_counter(), time.process_time() - spent
        for _ in range(_STEPS):
            token = int(loop.step(token).argmax())
    return {"hash_s": hashing, "load_s": loaded - begin, "prompt_s": finished - loaded,
            "first_token_s": finished - begin, "cpu_s": spent,
            "peak_memory_bytes": peak_memory(), "libraries_memory_bytes": libraries}


def first_token_alone(name: str, prompt: torch.Tensor, *, dtype: str, device: str,
                      threads: int | None) -> dict[str, Any]:
    """``first_token`` in a fresh process, by a hidden option of ``neurosparse bench``.

    Raises
    ------
    NeurosparseError
        With the other process's own last line.
    """
    command = [sys.executable, "-m", "neurosparse", "bench", name, "--dtype", dtype,
               "--device", device, "--first-token", ",".join(map(str, prompt[0].tolist()))]
    command += [] if threads is None else ["--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise NeurosparseError(f"first token of {name}",
                               found=f"exit code {done.returncode}: {lines[-1]}",
                               expected="a model that loads and reads its prompt")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _files(name: str) -> list[Path]:
    source = resolve(name)
    if source.gguf_file is not None:
        return [source.path / source.gguf_file]
    return sorted(source.path.glob("*.safetensors"))


def _read(file: Path) -> None:
    """Bring a file into the page cache."""
    with open(file, "rb") as handle:
        while handle.read(_CHUNK):
            pass
