"""How much text a model can look back on."""

from __future__ import annotations

from typing import Any

from neurosparse.errors import InputError


def context_of(model: Any) -> int | None:
    """How many tokens a model can look back on; None where its configuration does not say."""
    config: Any = getattr(model, "config", None)
    text = getattr(config, "get_text_config", lambda: config)()
    found = getattr(text, "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def check_length(model: Any, length: int, operation: str = "cut the text into windows") -> None:
    """Refuse windows that are longer than the model's context.

    A table of learned positions ends there, and its model fails with an index out of range; beyond
    it a rotary model has learnt nothing.

    Raises
    ------
    InputError
        They are longer.
    """
    context = context_of(model)
    if context is not None and length > context:
        raise InputError(operation, found=f"windows of {length} tokens",
                         expected=f"at most the model's context of {context}",
                         mend="Choose a smaller --window-length.")
