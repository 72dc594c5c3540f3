"""neurosparse: measure how an error travels through a network, decide from that how much of each
part may go, take it away, and run what is left fast.

A room (``ns.budgets``, ``ns.sparse`` ...) loads when it is first named (PEP 562), so that
``import neurosparse`` costs nothing but itself and theory users never pay for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neurosparse._version import __version__

if TYPE_CHECKING:
    from neurosparse import (
        adaptation,
        budgets,
        dynamics,
        lyapunov,
        meanfield,
        measure,
        models,
        pipeline,
        pruning,
        report,
        search,
        sparse,
        sweeps,
        video,
    )
    from neurosparse.errors import NeurosparseError
    from neurosparse.pipeline import compress
    from neurosparse.sparse import register

__all__ = [
    "NeurosparseError",
    "__version__",
    "adaptation",
    "budgets",
    "compress",
    "dynamics",
    "lyapunov",
    "meanfield",
    "measure",
    "models",
    "pipeline",
    "pruning",
    "register",
    "report",
    "search",
    "sparse",
    "sweeps",
    "video",
]

_ROOMS = (
    "adaptation", "budgets", "dynamics", "lyapunov", "meanfield", "measure", "models", "pipeline",
    "pruning", "report", "search", "sparse", "sweeps",
    "video",
)  # fmt: skip
_NAMES = {
    "NeurosparseError": "neurosparse.errors",
    "compress": "neurosparse.pipeline",
    "register": "neurosparse.sparse",
}


def __getattr__(name: str) -> Any:
    module = f"neurosparse.{name}" if name in _ROOMS else _NAMES.get(name)
    if module is not None:
        from neurosparse.extras import extras_named

        with extras_named():
            found = importlib.import_module(module)
        return found if name in _ROOMS else getattr(found, name)
    raise AttributeError(f"module 'neurosparse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
