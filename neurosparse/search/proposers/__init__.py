"""Proposers by name; a new one is a new file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurosparse.errors import InputError
from neurosparse.search.proposers.cma import CmaProposer
from neurosparse.search.proposers.evolution import EvolutionProposer
from neurosparse.search.proposers.history import History
from neurosparse.search.proposers.line import LineProposer
from neurosparse.search.proposers.llm import LlmProposer
from neurosparse.search.proposers.protocol import Proposer
from neurosparse.search.proposers.random import RandomProposer
from neurosparse.search.proposers.tpe import TpeProposer
from neurosparse.search.space import Space

PROPOSERS: dict[str, Callable[..., Proposer]] = {
    "random": RandomProposer,
    "evolution": EvolutionProposer,
    "cma": CmaProposer,
    "tpe": TpeProposer,
    "line": LineProposer,
    "llm": LlmProposer,
}


def make_proposer(name: str, space: Space, **options: Any) -> Proposer:
    """A fresh proposer by its name.

    Parameters
    ----------
    options
        ``seed``, ``start``, and what the proposer takes itself; ``complete`` for ``llm``.

    Raises
    ------
    InputError
        Unknown name, or an option that it does not take.
    MissingExtraError
        ``cma`` or ``tpe`` without its package.
    """
    if name not in PROPOSERS:
        raise InputError("search", found=f"proposer {name!r}",
                         expected="one of " + ", ".join(PROPOSERS))
    try:
        return PROPOSERS[name](space, **options)
    except TypeError as error:
        raise InputError(f"propose by {name}", found=f"options {sorted(options)}",
                         expected=f"those it takes ({error})") from error


__all__ = [
    "PROPOSERS",
    "CmaProposer",
    "EvolutionProposer",
    "History",
    "LineProposer",
    "LlmProposer",
    "Proposer",
    "RandomProposer",
    "TpeProposer",
    "make_proposer",
]
