"""llama.cpp, built for this very processor, on GGUF files of the same model.

Each type twice: with the weights put into the order of its fastest kernels while they are loaded
(its default; AMX or interleaved rows, where it has them), and as they lie in the file. What is
faster differs between processors; the driver compares with the better one.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from peers.llama import CHECKED, POSITIONS, VOCABULARY, tokens
from peers.talk import Case, options, private_output, serve


class Session:
    """A model in memory and a cache."""

    def __init__(self, path: Path, ordered: bool, threads: int) -> None:
        how = llama_cpp.llama_model_default_params()
        how.use_mmap, how.use_extra_bufts, how.n_gpu_layers = False, ordered, 0
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), how)
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path.name}")
        which = llama_cpp.llama_context_default_params()
        which.n_ctx, which.n_batch = 2 * POSITIONS, POSITIONS
        which.n_threads = which.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, which)
        if not self.context:
            raise RuntimeError("llama.cpp makes no context")

    def read(self, text: list[int]) -> None:
        """Some tokens after those in the cache, one by one.

        Several at once end in a segmentation fault where AMX orders the weights
        (ggml-org/llama.cpp #20824); what is timed is one token anyway.
        """
        for token in text:
            held = (llama_cpp.llama_token * 1)(token)
            code = llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(held, 1))
            if code:
                raise RuntimeError(f"llama_decode returns {code}")

    def forget(self, position: int) -> None:
        """All from there on."""
        memory = llama_cpp.llama_get_memory(self.context)
        if not llama_cpp.llama_memory_seq_rm(memory, 0, position, -1):
            raise RuntimeError("llama.cpp does not cut its cache")

    def logits(self) -> Any:
        """After the last token."""
        found = llama_cpp.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(found, (VOCABULARY,)).copy()


def decode_case(name: str, asked: dict[str, Any]) -> Case:
    """The token after a cache that is full but for one place."""
    kind, _, how = name.partition(", ")
    path = Path(asked["folder"]) / f"{kind}-{asked['blocks']}.gguf"
    session = Session(path, not how, asked["threads"])
    text = tokens(POSITIONS)
    session.read(text[:CHECKED])
    found = session.logits()
    session.forget(0)
    session.read(text[:-1])

    def call() -> None:
        session.forget(POSITIONS - 1)
        session.read(text[-1:])
        llama_cpp.llama_get_logits_ith(session.context, -1)

    size = int(llama_cpp.llama_model_size(session.model))
    return Case(call, found, size, "order of the file" if how else "order of its kernels")


def main() -> None:
    """Serve both types in both orders."""
    out, asked = private_output(), options()
    llama_cpp.llama_backend_init()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    can = llama_cpp.llama_print_system_info().decode()
    skills = [part.split("=")[0].strip().split()[-1] for part in can.split("|") if "= 1" in part]
    serve(f"llama.cpp of llama-cpp-python {llama_cpp.__version__}, " + " ".join(skills),
          {name: (lambda name=name: decode_case(name, asked))
           for name in ("Q8_0", "Q4_0", "Q8_0, plain", "Q4_0, plain")}, out)


if __name__ == "__main__":
    main()
