"""The form that a pruning method fills, and the methods by name.

A new method is a new small file with a class of this form and one line in ``METHODS``.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard

import torch

from neurosparse.errors import InputError
from neurosparse.pruning.alps import ALPS
from neurosparse.pruning.dsnot import DSnoT
from neurosparse.pruning.magnitude import Magnitude
from neurosparse.pruning.ria import RIA
from neurosparse.pruning.sparsegpt import SparseGPT
from neurosparse.pruning.statistics import InputStatistics
from neurosparse.pruning.wanda import Wanda
from neurosparse.pruning.wanda_variant import WandaVariant


class Method(Protocol):
    """What a method must give."""

    name: str
    needs_inputs: bool

    def scores(self, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
        """Importance of every weight, tensor of shape (out, in); the lowest go first."""
        ...


class Solver(Method, Protocol):
    """A method that also changes the weights that stay; it sees the inputs' Gram matrix."""

    def solve(self, weight: torch.Tensor, inputs: InputStatistics, drop: int, *,
              group: int | None = None, allowed: torch.Tensor | None = None
              ) -> tuple[torch.Tensor, str | None]:
        """The new weight, ``drop`` of its entries zero, and a note where it had to give in.

        Parameters
        ----------
        weight : tensor of shape (out, in)
        inputs
            With their Gram matrix.
        drop
            Entries to drop, exactly.
        group
            M of an N:M pattern.
        allowed : bool tensor of shape (out, in)
            Where a weight may stay.
        """
        ...


class Chooser(Method, Protocol):
    """A method that does not simply drop the lowest scores of every row."""

    def mask(self, weight: torch.Tensor, inputs: InputStatistics, drop: int) -> torch.Tensor:
        """Keep-mask with ``drop`` entries dropped, bool tensor of shape (out, in)."""
        ...


def has_mask(method: Method) -> TypeGuard[Chooser]:
    """Whether the method makes its own masks."""
    return hasattr(method, "mask")


def is_solver(method: Method) -> TypeGuard[Solver]:
    """Whether the method changes the weights that stay."""
    return hasattr(method, "solve")


_ALL: tuple[Method, ...] = (
    Magnitude(), Wanda(), WandaVariant(), RIA(), DSnoT(), SparseGPT(), ALPS(),
)
METHODS: dict[str, Method] = {method.name: method for method in _ALL}


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


def compensates(name: str, refit: float | None = None) -> bool:
    """Whether the weights that stay are solved again: by the method itself, or by a re-fit.

    The rule ``propagation`` then takes rates that differ less (``compensated=True``).

    Raises
    ------
    InputError
        Unknown method.
    """
    return refit is not None or is_solver(find_method(name))


def propagation_options(name: str, refit: float | None = None) -> dict[str, Any]:
    """Options of the rule ``propagation`` that go with a method.

    Raises
    ------
    InputError
        Unknown method.
    """
    found = {"compensated": True} if compensates(name, refit) else {}
    return found if refit is None else {**found, "refit": True}
