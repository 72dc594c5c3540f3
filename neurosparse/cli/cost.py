"""What a network's run will cost, told before it: measured rates times counted work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neurosparse.cli.network import Network
from neurosparse.errors import InputError

# a sparse product runs at about this many multiplications and additions a second
_SPARSE_RATE = 1e9
# Householder QR and its companions run at about this share of the rate of a product
_QR_SHARE = 0.25
_STAGES = {"euler": 1, "heun": 2, "euler-maruyama": 1, "rk4": 4, "map": 1,
           "exponential-ab2": 1, "exponential-ab3": 1, "exponential-ab4": 1}
# neurons of the network whose step stands for a large one's
_FEW = 256


@dataclass(frozen=True)
class Cost:
    """An estimate, for one command: seconds, and bytes of memory and disk."""

    seconds: float
    memory_bytes: float
    disk_bytes: float

    def as_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return asdict(self)

    def check(self, operation: str) -> None:
        """Refuse what this machine cannot hold.

        Raises
        ------
        InputError
            More memory than there is.
        """
        from neurosparse.records import machine

        there = machine()["memory_bytes"]
        if self.memory_bytes > there:
            raise InputError(operation, found=f"a run of about {self.memory_bytes / 1e9:,.0f} GB",
                             expected=f"at most this machine's {there / 1e9:,.0f} GB",
                             mend="Take a smaller --n, or --sparsity 0.5 or more: stored sparse.")


def rates() -> tuple[float, float]:
    """Flops a second of a product in float64, and bytes a second of a matrix times a vector."""
    left, wide = np.ones((384, 384)), np.ones((2000, 1000))
    product = min(_timed(left, left) for _ in range(3))
    vector = min(_timed(wide, np.ones(1000)) for _ in range(3))
    return 2 * 384**3 / product, wide.nbytes / vector


def _timed(left: Any, right: Any) -> float:
    begin = time.perf_counter()
    left @ right
    return max(time.perf_counter() - begin, 1e-7)


def step_of(network: Network, dt: float | None, default: Callable[[Any], float]) -> float:
    """The step that the room will take, to a few per cent, without building a large network.

    ``default`` is the room's own choice for a system; it gets one of the same ensemble.
    """
    if network.map_step is not None:
        return 1.0
    if dt is not None:
        return dt
    few = None if network.couplings is not None else min(network.size, _FEW)
    return default(network.build(0, n=few))


def couplings_bytes(network: Network) -> float:
    """Memory of J while it is drawn and while it is used."""
    return network.entries * (48 if network.is_sparse else 16)


def products_time(network: Network, method: str, steps: float, columns: int) -> float:
    """Seconds of J times ``columns`` vectors in every stage of so many steps."""
    flops, stream = rates()
    stages = _STAGES.get(method, 12) * (2 if network.gamma else 1)
    work = 2 * network.entries * columns
    one = work / (_SPARSE_RATE if network.is_sparse else flops)
    moved = network.entries * (12 if network.is_sparse else 8) / stream
    # what a step costs besides products: gains, and the loop itself
    rest = 2e-6 + 12e-9 * network.size * columns
    return float(steps * stages * (max(one, moved) + rest))


def qr_time(size: int, k: int, times: float) -> float:
    """Seconds of so many orthonormalisations of a frame [N, k]."""
    return times * 4 * size * k**2 / (_QR_SHARE * rates()[0])
