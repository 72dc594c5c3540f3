"""Which way packed products take on a device, and the Triton way if it can be had.

Triton is imported at the first product on a GPU and never before. Where it is missing, or fails (no
C compiler for its launcher, a card it does not know), products go on by torch operators, slower and
with the same results: that is no reason to stop a run, and ``backend`` says so to whoever asks.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch

from neurosparse.errors import NeurosparseError

if TYPE_CHECKING:
    from neurosparse.sparse.arithmetic import Rows

# Rows of x up to which the values are multiplied as they are read.
FEW = 16
# Entries of an expanded tile: 16 MB in bf16, so that it is multiplied while in the L2 cache.
TILE = 1 << 23
_TYPES = (torch.float32, torch.float16, torch.bfloat16)
_failures: list[str] = []


class Backend(NamedTuple):
    """How packed rows are multiplied.

    name
        ``"kernels"`` (compiled, on the CPU), ``"triton"``, or ``"torch"`` (operators of torch).
    why
        Where it is ``"torch"``: why it is not Triton.
    """

    name: str
    why: str = ""


def backend(device: torch.device | str) -> Backend:
    """What multiplies packed rows on a device.

    Examples
    --------
    >>> backend("cpu").name
    'kernels'
    """
    kind = torch.device(device).type
    if kind == "cpu":
        return Backend("kernels")
    if kind != "cuda":
        return Backend("torch", f"there are no kernels for {kind}")
    if _failures:
        return Backend("torch", f"triton failed: {_failures[0]}")
    if not _installed():
        return Backend("torch", 'triton is not installed: pip install "neurosparse[gpu]"')
    return Backend("triton")


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def usable(device: torch.device) -> bool:
    """Whether Triton is worth a try."""
    return device.type == "cuda" and backend(device).name == "triton"


def matvec(x: torch.Tensor, rows: Rows, first: int, last: int) -> torch.Tensor | None:
    """``x @ W[first:last].T`` for few rows of x, or None where torch has to do it.

    Parameters
    ----------
    x : floating tensor of shape (n, cols)

    Returns
    -------
    tensor of shape (n, last - first), x.dtype or float32
    """
    if x.shape[0] > FEW or x.device != rows.values.device or not usable(x.device):
        return None
    if _in_groups(rows):
        return None
    left = x.detach() if x.dtype in _TYPES else x.detach().to(torch.float32)

    def call() -> torch.Tensor:
        from neurosparse.sparse.triton_matvec import matvec as by_triton

        return by_triton(left, rows, first, last)

    return tried(call)


def expand(rows: Rows, first: int, last: int, dtype: torch.dtype) -> torch.Tensor | None:
    """Dense rows ``first:last``, or None where torch has to do it."""
    if dtype not in _TYPES or not usable(rows.values.device) or _in_groups(rows):
        return None

    def call() -> torch.Tensor:
        from neurosparse.sparse.triton_expand import expand as by_triton

        return by_triton(rows, first, last, dtype)

    return tried(call)


def _in_groups(rows: Rows) -> bool:
    """Scales of groups of columns, which the Triton kernels do not read: torch expands them."""
    return rows.scales is not None and rows.scales.ndim == 2


def tried(call: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    """What a call of Triton gives, or None where it fails; then, and from then on, torch has to."""
    try:
        return call()
    except (torch.OutOfMemoryError, NeurosparseError):
        raise  # not Triton's doing: the other way would meet it too
    except Exception as error:  # whatever a compiler or a driver comes up with
        _failures.append(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        return None
