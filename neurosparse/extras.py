"""Which extra brings a module that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neurosparse.errors import MissingExtraError

_EXTRA_OF = {
    "torch": "llm", "transformers": "llm", "safetensors": "llm", "accelerate": "llm",
    "peft": "llm", "gguf": "llm", "sentencepiece": "llm", "datasets": "eval", "lm_eval": "eval",
    "av": "video", "PIL": "video", "cma": "search", "optuna": "search", "dask": "cluster",
    "distributed": "cluster", "triton": "gpu", "cuda": "gpu",
}


@contextmanager
def extras_named() -> Iterator[None]:
    """Turn the import error of an optional dependency into one that says what to install.

    Raises
    ------
    MissingExtraError
        In place of the ``ModuleNotFoundError``.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        extra = _EXTRA_OF.get(module)
        if extra is None:
            raise
        raise MissingExtraError(
            f"import {module}", found=f"no module {module!r}",
            expected=f"the extra {extra!r} of neurosparse",
            mend=f'pip install "neurosparse[{extra}]"',
        ) from error
