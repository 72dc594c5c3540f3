"""Which way packed products take on a device: CUDA kernels, Triton's, or operators of torch.

The kernels in CUDA read the order of ``gaps``; where they cannot be had (no bindings of NVRTC, an
old card, values of a kind that they do not read) Triton's read the bitmap. Both are imported at
the first product on a GPU and never before. Where one is missing, or fails (no C compiler for
Triton's launcher, a card it does not know), products go on by the next, slower and with the same
results: that is no reason to stop a run, and ``backend`` says so to whoever asks.
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
    from neurosparse.sparse.gaps import Gaps

# Rows of x up to which the values are multiplied as they are read.
FEW = 16
# Entries of an expanded tile, 32 MB in bf16: it is multiplied while in the L2 cache.
_TILE = 1 << 24
# And its rows at least: products of fewer leave multiprocessors idle.
_LEAST_ROWS = 2048
# Rows are shared out evenly, in steps of what a product's tiles divide.
_STEP = 256
_TYPES = (torch.float32, torch.float16, torch.bfloat16)
_GAPPED = (torch.bfloat16, torch.float16, torch.int8)
_failures: list[str] = []
_cuda_failures: list[str] = []


class Backend(NamedTuple):
    """How packed rows are multiplied.

    name
        ``"kernels"`` (compiled, on the CPU), ``"cuda"``, ``"triton"``, or ``"torch"`` (operators of
        torch).
    why
        Why it is not the one before.
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
    if not (why := _no_cuda(torch.device(device))):
        return Backend("cuda")
    if _failures:
        return Backend("torch", f"{why}; triton failed: {_failures[0]}")
    if not _installed():
        return Backend("torch", f'{why}; triton is not installed: pip install "neurosparse[gpu]"')
    return Backend("triton", why)


def _no_cuda(device: torch.device) -> str:
    """Why there are no kernels in CUDA, or nothing."""
    from neurosparse.sparse.cuda import card, compile

    if _cuda_failures:
        return f"CUDA failed: {_cuda_failures[0]}"
    if not compile.installed():
        return 'cuda-bindings is not installed: pip install "neurosparse[gpu]"'
    if card.card_of(device) is None:
        return "there is no card of Ampere or later"
    return ""


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def tile_rows(rows: int, cols: int) -> int:
    """Rows of a tile that is expanded and multiplied at once."""
    most = max(_TILE // max(cols, 1), _LEAST_ROWS)
    tiles = -(-rows // most)
    return -(-rows // (tiles * _STEP)) * _STEP


def usable(device: torch.device) -> bool:
    """Whether Triton is worth a try."""
    return device.type == "cuda" and not _failures and _installed()


def gaps_of(rows: Rows) -> Gaps | None:
    """The order that the CUDA kernels read, made at the first call; None where it cannot be had.

    It is about as large as the packed rows (``PackedRows.release`` lets go of the values beside
    it). It is not made while a CUDA graph is captured, which nobody may wait in, nor of values that
    learn, which are others in every step.
    """
    device = rows.bitmap.device
    if (device.type != "cuda" or rows.kind.dtype not in _GAPPED or _in_groups(rows)
            or (rows.stored is not None and rows.stored.requires_grad) or _no_cuda(device)):
        return None
    found: Gaps | None = rows.made.get("gaps")
    if found is None and not torch.cuda.is_current_stream_capturing():
        from neurosparse.sparse.gaps import to_gaps

        try:
            found = rows.made["gaps"] = to_gaps(rows, 0, len(rows.bitmap))
        except torch.OutOfMemoryError:  # Triton's kernels do without
            _cuda_failures.append("no memory for another order of the packed rows")
    return found


def matvec(x: torch.Tensor, rows: Rows, first: int, last: int) -> torch.Tensor | None:
    """``x @ W[first:last].T`` for few rows of x, or None where torch has to do it.

    Parameters
    ----------
    x : floating tensor of shape (n, cols)

    Returns
    -------
    tensor of shape (n, last - first), x.dtype or float32
    """
    ready = rows.made.get((first, last, len(x), x.dtype))
    if ready is not None and x.device == rows.bitmap.device:  # every token: nothing else is asked
        found: torch.Tensor = ready(x)
        return found
    if x.shape[0] > FEW or x.device != rows.bitmap.device:
        return None
    left = x.detach() if x.dtype in _TYPES else x.detach().to(torch.float32)
    gaps = gaps_of(rows)
    if gaps is not None:
        def by_cuda() -> torch.Tensor | None:
            from neurosparse.sparse.cuda.matvec import prepared

            multiply = prepared(gaps, rows.scales, first, last, len(left), left.dtype)
            if multiply is None:
                return None
            out = multiply(left)
            rows.made[first, last, len(left), left.dtype] = multiply
            return out

        made = tried(by_cuda, _cuda_failures)
        if made is not None:
            return made
    if _in_groups(rows) or not usable(x.device):
        return None

    def by_triton() -> torch.Tensor:
        from neurosparse.sparse.triton_matvec import matvec

        return matvec(left, rows, first, last)

    return tried(by_triton)


def expand(rows: Rows, first: int, last: int, dtype: torch.dtype) -> torch.Tensor | None:
    """Dense rows ``first:last``, or None where torch has to do it."""
    if (ready := rows.made.get((first, last, dtype))) is not None:
        found: torch.Tensor = ready()
        return found
    if dtype not in _TYPES:
        return None
    gaps = gaps_of(rows)
    if gaps is not None:
        def by_cuda() -> torch.Tensor | None:
            from neurosparse.sparse.cuda.expand import prepared

            made = prepared(gaps, rows.scales, first, last, dtype)
            if made is None:
                return None
            out = made()
            rows.made[first, last, dtype] = made
            return out

        made = tried(by_cuda, _cuda_failures)
        if made is not None:
            return made
    if _in_groups(rows) or not usable(rows.bitmap.device):
        return None

    def by_triton() -> torch.Tensor:
        from neurosparse.sparse.triton_expand import expand

        return expand(rows, first, last, dtype)

    return tried(by_triton)


def _in_groups(rows: Rows) -> bool:
    """Scales of groups of columns, which no kernel for a GPU reads: torch expands them."""
    return rows.scales is not None and rows.scales.ndim == 2


def tried(call: Callable[[], torch.Tensor | None], failures: list[str] | None = None
          ) -> torch.Tensor | None:
    """What a call of kernels gives, or None where it fails: then, and from then on, others have to.

    Parameters
    ----------
    failures
        Where failures of these kernels are kept; by default those of Triton.
    """
    try:
        return call()
    except (torch.OutOfMemoryError, NeurosparseError):
        raise  # not the kernels' doing: the other way would meet it too
    except Exception as error:  # whatever a compiler or a driver comes up with
        (_failures if failures is None else failures).append(
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        return None
