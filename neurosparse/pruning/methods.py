"""The form that a pruning method fills, and the methods by name.

A new method is a new small file with a class of this form and one line in ``METHODS``.
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

import torch

from neurosparse.errors import InputError
from neurosparse.pruning.magnitude import Magnitude
from neurosparse.pruning.sparsegpt import SparseGPT
from neurosparse.pruning.statistics import InputStatistics
from neurosparse.pruning.wanda import Wanda


class Method(Protocol):
    """What a method must give."""

    name: str
    needs_inputs: bool

    def scores(self, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
        """Importance of every weight, tensor of shape (out, in); the lowest go first."""
        ...


class Solver(Method, Protocol):
    """A method that also changes the weights that stay; it sees the inputs' Gram matrix."""

    def solve(self, weight: torch.Tensor, inputs: InputStatistics, drop: int
              ) -> tuple[torch.Tensor, str | None]:
        """The new weight, ``drop`` of its entries zero, and a note where it had to give in.

        Parameters
        ----------
        weight : tensor of shape (out, in)
        inputs
            With their Gram matrix.
        drop
            Entries to drop, exactly.
        """
        ...


def is_solver(method: Method) -> TypeGuard[Solver]:
    """Whether the method changes the weights that stay."""
    return hasattr(method, "solve")


METHODS: dict[str, Method] = {
    "magnitude": Magnitude(), "sparsegpt": SparseGPT(), "wanda": Wanda(),
}


def find_method(name: str) -> Method:
    """The method of that name.

    Raises
    ------
    InputError
        There is none; the message lists those that there are.
    """
    if name not in METHODS:
        raise InputError("prune", found=f"method {name!r}",
                         expected="one of " + ", ".join(sorted(METHODS)))
    return METHODS[name]
