"""A card that is not there: tensors that say they are on it, and refuse what a card refuses.

Code for a GPU goes wrong in ways that a CPU never shows: a tensor made without ``device``, a
``.numpy()`` without ``.cpu()``, a look at a number while a CUDA graph is captured. Inside
``fake_cuda(monkeypatch)`` a tensor on ``"cuda"`` computes on the CPU, but meets another device as
it would on a card: with an error. Graphs are captured as a list of operators with their memory, and
replayed from it. Times, memory and rounding are the CPU's; kernels are stood in for by torch's
operators (their own tests run them in Triton's interpreter and by a host compiler).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
_CARD = torch.device("cuda:0")
# Operators that wait for the card: refused while a graph is captured.
_WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default,
          aten.is_nonzero.default, aten.masked_select.default, aten._unique2.default}
# The device of the result is said by the operator, or its other tensors may be on the CPU.
_MOVES = {aten._to_copy.default, aten.copy_.default}


class OnCard(torch.Tensor):
    """A CPU tensor that says it is on the card."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnCard:
        """A wrapper without memory of its own."""
        made: OnCard = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=_CARD)
        made.held = held
        return made

    def __init__(self, held: torch.Tensor) -> None:
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Where no mode is on: inside a decomposition."""
        return _run(func, args, kwargs or {})

    def data_ptr(self) -> int:
        """Of the memory."""
        return self.held.data_ptr()

    def numpy(self, *, force: bool = False) -> Any:
        """Refused, as on a card."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def tolist(self) -> Any:
        """Of a copy on the CPU."""
        return self.detach().cpu().tolist()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.ndim == 0 else str(self), spec)

    def __deepcopy__(self, memo: Any) -> Any:
        if id(self) not in memo:
            made = OnCard(self.held.detach().clone()).requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                made._is_param = True  # type: ignore[attr-defined]
            memo[id(self)] = made
        return memo[id(self)]

    @property
    def data(self) -> Any:  # type: ignore[override]
        """Without gradient, the same memory."""
        return OnCard(self.held.detach())

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, OnCard) or value.shape != self.shape:
            raise RuntimeError("assigned data on another device or of another shape")
        self.held = value.held


class _Capture:
    """Operators of a graph with the memory that they were given.

    A card does nothing while it captures; here results are needed to go on, so that what was
    written in place is put back at the end.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.before: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(self, func: Any, args: Any) -> None:
        for one, known in zip(args, func._schema.arguments, strict=False):
            if isinstance(one, torch.Tensor) and known.alias_info and known.alias_info.is_write:
                self.before.append((one, one.clone()))

    def undo(self) -> None:
        for tensor, content in reversed(self.before):
            tensor.copy_(content)
        self.before.clear()

    def replay(self) -> None:
        for func, args, kwargs, made in self.calls:
            before = {t.untyped_storage().data_ptr() for t in tree_flatten((args, kwargs))[0]
                      if isinstance(t, torch.Tensor)}
            now = tree_flatten(func(*args, **kwargs))[0]
            for old, new in zip(tree_flatten(made)[0], now, strict=True):
                if isinstance(old, torch.Tensor) and (
                        old.untyped_storage().data_ptr() not in before):
                    old.copy_(new)


_capturing: list[_Capture] = []


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    flat = tree_flatten((args, kwargs))[0]
    wrapped = [t for t in flat if isinstance(t, OnCard)]
    devices = [kwargs.get("device"), *(one for one in args if isinstance(one, torch.device))]
    asked = next((torch.device(one).type for one in devices if one is not None), None)
    if not wrapped and asked != "cuda":
        return func(*args, **kwargs)
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        with Card():
            made = func.decompose(*args, **kwargs)
        if made is not NotImplemented:
            return made
    _check(func, args, flat, wrapped, asked)
    back = asked == "cpu" and func in _MOVES
    if func is aten._fused_sdp_choice.default:
        return 0  # the plain form: the CPU's own has operators that a card has not
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner_args, inner_kwargs = tree_map(_held, (args, kwargs))
    # The memory is that of ordinary tensors whatever mode the caller is in.
    with torch.inference_mode(False), torch.no_grad():
        if _capturing:
            _capturing[-1].keep(func, inner_args)
        if func in (aten.mm.dtype, aten.addmm.dtype):
            made = _exact(func, inner_args)
        else:
            made = func(*inner_args, **inner_kwargs)
    if _capturing:
        if back or func in _WAITS:
            raise RuntimeError(f"{func}: operation not permitted when stream is capturing")
        _capturing[-1].calls.append((func, inner_args, inner_kwargs, made))
    if back or (asked == "cpu" and not wrapped):
        return made
    if func is aten.copy_.default and not isinstance(args[0], OnCard):
        return args[0]
    known = {id(t.held): t for t in wrapped}
    ordinary = {t.held.untyped_storage().data_ptr() for t in wrapped if not t.is_inference()}

    def on_card(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in known:
            return known[id(value)]
        # A view of an ordinary tensor is one, in inference mode too.
        view = value.untyped_storage().data_ptr() in ordinary
        with torch.inference_mode(torch.is_inference_mode_enabled() and not view):
            return OnCard(value)

    return tree_map(on_card, made)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnCard) else value


def _exact(func: Any, args: Any) -> torch.Tensor:
    """Products of 16 bits with a result of 32, which the CPU does not have."""
    *rest, left, right, dtype = args
    product = left.to(dtype) @ right.to(dtype)
    return product + rest[0] if rest else product


def _check(func: Any, args: Any, flat: list[Any], wrapped: list[Any], asked: str | None) -> None:
    """Tensors of two devices in one operator are an error, unless a card takes them too."""
    if func in _MOVES:
        if _capturing and func is aten.copy_.default and any(
                isinstance(t, torch.Tensor) and not isinstance(t, OnCard) for t in flat):
            raise RuntimeError("copy_ from or to the CPU while a stream is capturing")
        return
    others = [t for t in flat if isinstance(t, torch.Tensor) and not isinstance(t, OnCard)
              and t.ndim > 0]
    indexing = "index" in func.__name__ and isinstance(args[0], OnCard)
    if wrapped and others and not (indexing and all(not t.is_floating_point() for t in others)):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two "
                           f"devices, cuda:0 and cpu! (in {func})")
    if _capturing and indexing and any(
            isinstance(t, torch.Tensor) and t.dtype == torch.bool for t in flat):
        raise RuntimeError(f"{func} by a mask: operation not permitted when stream is capturing")


class Card(TorchDispatchMode):
    """Catches what is made on the card."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every operator."""
        return _run(func, args, kwargs or {})


class _Event:
    def __init__(self, **_options: Any) -> None:
        self.at = 0.0

    def record(self, *_args: Any) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        """Done already."""

    def elapsed_time(self, other: _Event) -> float:
        return max((other.at - self.at) * 1e3, 1e-6)


class _Graph:
    def __init__(self) -> None:
        self.captured = _Capture()

    def replay(self) -> None:
        self.captured.replay()


@contextlib.contextmanager
def _graph(graph: _Graph, **_options: Any) -> Iterator[None]:
    _capturing.append(graph.captured)
    try:
        yield
    finally:
        _capturing.pop()
        with torch.inference_mode(False), torch.no_grad():
            graph.captured.undo()


@functools.cache
def install() -> None:
    """Tell torch of a card, before its first backward pass: a build without CUDA has none.

    The process stays so: run such tests in one of their own.
    """
    if torch.version.cuda is not None:
        pytest.skip("this torch is built with CUDA: measure on the card itself")
    if shutil.which("g++") is None:
        pytest.skip("not installed: g++")
    torch_home = Path(torch.__file__).parent
    into = Path(tempfile.mkdtemp(prefix="neurosparse-fake-cuda-")) / "fake_cuda.so"
    subprocess.run(
        ["g++", "-std=c++20", "-shared", "-fPIC", str(Path(__file__).with_suffix(".cpp")),
         f"-I{torch_home}/include", f"-L{torch_home}/lib", "-ltorch_cpu", "-lc10", "-o", str(into)],
        check=True)
    ctypes.CDLL(str(into))
    shutil.rmtree(into.parent)


def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels' results by torch's operators."""
    from neurosparse.adaptation import masked_tiles, triton_masked
    from neurosparse.sparse import bits, experts, linear, on_gpu
    from neurosparse.sparse.cuda import expand as cuda_expand
    from neurosparse.sparse.cuda import matvec as cuda_matvec
    from neurosparse.sparse.gaps import to_dense

    def dense_of(gaps: Any, scales: Any, first: int, last: int) -> torch.Tensor:
        dense = to_dense(gaps)[first:last]
        return dense if scales is None else dense * scales[first:last, None]

    def matvec(gaps: Any, scales: Any, first: int, last: int, count: int, dtype: torch.dtype
               ) -> Any:
        # Once and not while a graph is captured: to_dense waits for the card, the kernel does not.
        dense = dense_of(gaps, scales, first, last)

        def call(x: Any) -> torch.Tensor:
            assert x.device == gaps.values.device and x.dtype == dtype and len(x) == count
            return (x.float() @ dense.T).to(dtype)

        return call

    def expand(gaps: Any, scales: Any, first: int, last: int, dtype: torch.dtype) -> Any:
        dense = dense_of(gaps, scales, first, last).to(dtype)
        return dense.clone

    def add(*arguments: Any) -> torch.Tensor:
        with masked_tiles.reference():
            return masked_tiles.updated(*arguments)

    def gradients(product: torch.Tensor, mask: torch.Tensor, a: torch.Tensor, b: torch.Tensor,
                  scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        kept = product * bits.mask_rows(mask, a.shape[1], product.dtype)
        return (b.T @ kept) * scale, (kept @ a.T) * scale

    monkeypatch.setattr(triton_masked, "add", add)
    monkeypatch.setattr(triton_masked, "gradients", gradients)
    def eagerly(x: Any, learns: bool) -> bool:
        return type(x) is OnCard and not (
            (x.requires_grad or learns) and torch.is_grad_enabled())

    monkeypatch.setattr(linear, "runs_eagerly", eagerly)
    monkeypatch.setattr(experts, "runs_eagerly", eagerly)
    monkeypatch.setattr(on_gpu, "_no_cuda", lambda device: "")
    monkeypatch.setattr(cuda_matvec, "prepared", matvec)
    monkeypatch.setattr(cuda_expand, "prepared", expand)


@contextlib.contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A card inside the context."""
    card = SimpleNamespace(
        L2_cache_size=1 << 12, total_memory=80 << 30, multi_processor_count=132, major=9, minor=0)
    known: dict[str, Any] = {
        "_lazy_init": lambda: None, "is_available": lambda: True, "device_count": lambda: 1,
        "current_device": lambda: 0, "get_device_name": lambda *_a: "no card (fake)",
        "get_device_capability": lambda *_a: (9, 0), "get_device_properties": lambda *_a: card,
        "synchronize": lambda *_a: None, "empty_cache": lambda: None,
        "is_bf16_supported": lambda *_a, **_k: True, "manual_seed_all": lambda *_a: None,
        "manual_seed": lambda *_a: None, "_is_in_bad_fork": lambda: False,
        "is_current_stream_capturing": lambda: bool(_capturing),
        "max_memory_allocated": lambda *_a: 1, "memory_allocated": lambda *_a: 1,
        "reset_peak_memory_stats": lambda *_a: None,
        "get_rng_state": lambda *_a: torch.zeros(1, dtype=torch.uint8),
        "set_rng_state": lambda *_a: None, "Event": _Event, "CUDAGraph": _Graph, "graph": _graph,
        "Stream": lambda *_a: SimpleNamespace(synchronize=lambda: None,
                                              wait_stream=lambda _s: None),
        "current_stream": lambda *_a: SimpleNamespace(wait_stream=lambda _s: None),
        "stream": lambda _s: contextlib.nullcontext(),
        "device": lambda _d: contextlib.nullcontext(),
    }
    for name, value in known.items():
        monkeypatch.setattr(torch.cuda, name, value, raising=False)
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", lambda weight: weight.clone())
    _stand_in(monkeypatch)
    install()
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    lifted = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") is seen too
    try:
        with Card():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(lifted)
        torch.__future__.set_overwrite_module_params_on_conversion(before)
