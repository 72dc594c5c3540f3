"""Text to windows of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neurosparse.errors import InputError, TextError


def join(documents: Sequence[str]) -> str:
    """One text: a blank line between documents, unless a document ends with one already."""
    parts = [
        document if document.endswith("\n\n") else document + "\n\n" for document in documents[:-1]
    ]
    return "".join([*parts, *documents[-1:]])


def windows(
    tokenizer: Any,
    documents: Sequence[str] | str,
    *,
    length: int = 512,
    count: int | None = None,
) -> Tensor:
    """Cut text into contiguous windows of token ids without overlap.

    The documents are joined and tokenised in one call with the tokenizer's own special tokens. A
    tokenizer that puts a first token (BOS) before a text gets it before every window, followed by
    ``length - 1`` tokens of text: a model trained with it reads badly without.

    Parameters
    ----------
    tokenizer
        Of transformers.
    documents
        Texts, or one text.
    length
        Tokens in a window, at least 2.
    count
        At most this many windows, the first ones; None takes all.

    Returns
    -------
    Tensor int64 [windows, length]

    Raises
    ------
    InputError
        ``length`` or ``count`` is out of range, or there is no tokenizer.
    TextError
        The text is empty or shorter than one window.
    """
    operation = "cut the text into windows"
    if tokenizer is None:
        raise InputError(operation, found="no tokenizer", expected="the model's tokenizer")
    if length < 2:
        raise InputError(operation, found=f"length={length}", expected="at least 2 tokens")
    if count is not None and count < 1:
        raise InputError(operation, found=f"count={count}", expected="at least 1 window")
    text = documents if isinstance(documents, str) else join(documents)
    if not text.strip():
        raise TextError(operation, found="an empty text", expected="text")
    ids = list(tokenizer(text, verbose=False).input_ids)
    first = _first_token(tokenizer)
    step = length
    if first is not None and ids and ids[0] == first:
        ids, step = ids[1:], length - 1
    else:
        first = None
    full = len(ids) // step
    if full == 0:
        raise TextError(
            operation, found=f"a text of {len(ids)} tokens",
            expected=f"at least {step} tokens, one window",
            mend="Give a longer text or shorter windows.",
        )
    full = full if count is None else min(full, count)
    body = torch.tensor(ids[: full * step], dtype=torch.int64).reshape(full, step)
    if first is None:
        return body
    return torch.cat([torch.full((full, 1), first, dtype=torch.int64), body], dim=1)


def _first_token(tokenizer: Any) -> int | None:
    """The token that the tokenizer itself puts before any text, or None.

    Found by asking it, with a text that cannot be its own first token.
    """
    ids = list(tokenizer("a").input_ids)
    bos = tokenizer.bos_token_id
    if bos is None or not ids or ids[0] != bos:
        return None
    return int(bos)
