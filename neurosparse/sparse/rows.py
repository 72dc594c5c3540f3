"""The module that holds packed rows: buffers that keep their dtype and a product that is quick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.layout import bitmap_bytes
from neurosparse.sparse.arithmetic import (
    Rows,
    check_bits,
    check_values,
    row_offsets,
    version_of,
)
from neurosparse.sparse.kinds import Kind, kind_of
from neurosparse.sparse.matrix import PackedMatrix, unpack
from neurosparse.sparse.on_gpu import gaps_of


class PackedRows(nn.Module):
    """Buffers ``bitmap``, ``values`` and (int8, int4) ``scales`` of a packed matrix.

    The buffers move with the module from device to device and never change dtype: ``.to(dtype)``,
    ``.half()``, ``.float()`` and ``.type()`` leave them as they are stored. ``offsets`` (where a
    row's values begin) is derived from the bitmap and not part of the state dict.

    ``load_state_dict`` takes a matrix of the same shape and kind with any number of entries.

    On a card with kernels for it the values lie in the order of ``gaps`` alone once there was a
    product: who asks for ``values``, or saves or moves the module, has them made again, bit for
    bit, until the next product.

    Parameters
    ----------
    packed
        The matrix; its tensors may be on the meta device, to be filled later and then
        ``refresh``-ed.
    parts
        Matrices below one another that are multiplied one by one.
    counted
        The offsets are derived and checked here; else by the caller, with ``refresh``.
    """

    bitmap: torch.Tensor
    values: torch.Tensor
    scales: torch.Tensor | None
    offsets: torch.Tensor

    def __init__(self, packed: PackedMatrix, *, parts: int = 1, counted: bool = True) -> None:
        super().__init__()
        self.parts = parts
        rows, cols = packed.shape
        if packed.bitmap.shape != (rows, bitmap_bytes(cols)):
            raise InputError("hold packed rows", found=f"a bitmap {tuple(packed.bitmap.shape)}",
                             expected=f"({rows}, {bitmap_bytes(cols)}) for a matrix {packed.shape}")
        self.rows, self.cols = rows, cols
        self._views: Rows | None = None
        self._version = 0
        self.register_buffer("bitmap", packed.bitmap)
        self.register_buffer("values", packed.values)
        self.register_buffer("scales", packed.scales)
        offsets = torch.empty(rows + 1, dtype=torch.int64, device=packed.bitmap.device)
        self.register_buffer("offsets", offsets, persistent=False)
        if counted:
            self.refresh()

    def refresh(self) -> None:
        """Derive the offsets anew, after the bitmap and the values were filled.

        Raises
        ------
        FormatError
            The values are not as many as the bits that are set, or bits are set after the last
            column: the kernels would read what is not there.
        """
        values, self._views = self.values, None
        if self.bitmap.is_meta:
            return
        self.offsets = row_offsets(self.bitmap)
        check_values(values, self.nnz)
        check_bits(self.bitmap, self.cols)

    def hide(self) -> dict[str, Any]:
        """Have no buffers until ``show``: nobody then looks for them, loads or initialises them.

        Returns
        -------
        dict
            The buffers; entries that are replaced are those that ``show`` brings.
        """
        names = ("bitmap", "values", "scales", "offsets")
        self._hidden = {name: self._buffers[name] for name in names}
        self._buffers |= dict.fromkeys(names)
        return self._hidden

    def show(self, views: Rows | None = None) -> None:
        """Have them again; ``views`` of these very buffers, where there are some already."""
        self._buffers |= self._hidden
        del self._hidden
        if views is not None:
            self._views, self._version = views, version_of(views.stored)

    @property
    def nnz(self) -> int:
        """Entries whose bit is set."""
        return int(self.offsets[-1])

    def packed(self) -> PackedMatrix:
        """The matrix, sharing memory with the buffers."""
        return PackedMatrix(self.bitmap, self.values, self.scales, (self.rows, self.cols), self.nnz)

    def to_dense(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The dense matrix, tensor of shape (rows, cols) on the CPU."""
        return unpack(self.packed(), dtype)

    def views(self) -> Rows:
        """The rows with NumPy views; made again when a buffer was replaced."""
        held, buffers = self._views, self._buffers
        values = buffers.get("values")
        if values is None:
            lean = self._lean()
            if lean is not None and (lean.bitmap is buffers["bitmap"]
                                     and lean.scales is buffers["scales"]
                                     and lean.offsets is buffers["offsets"]):
                return lean
            values = self.values  # a parameter that learns
        if (held is None or held.bitmap is not buffers["bitmap"]
                or held.stored is not values or held.scales is not buffers["scales"]
                or held.offsets is not buffers["offsets"]
                or self._version != version_of(values)):
            held = Rows.of(self.bitmap, self.values, self.scales, self.offsets, self.cols)
            self._views, self._version = held, version_of(values)
        return held

    def release(self) -> bool:
        """Let a card keep the order of its products alone, where it has made one.

        Returns
        -------
        bool
            Whether the values are gone (until somebody asks for them).
        """
        values = self._buffers.get("values")
        if values is None or values.device.type != "cuda":
            return values is None and self._lean() is not None
        views = self.views()
        if gaps_of(views) is None:
            return False
        self._views, self._buffers["values"] = views.without_values(), None
        return True

    def _lean(self) -> Rows | None:
        """The rows without their values, where those were released."""
        held: Rows | None = self.__dict__.get("_views")
        return held if held is not None and held.stored is None else None

    def __getattr__(self, name: str) -> Any:
        lean = self._lean() if name == "values" else None
        if lean is None:
            return super().__getattr__(name)
        views = lean.with_values()
        self._buffers["values"] = views.stored
        self._views, self._version = views, version_of(views.stored)
        return views.stored

    @property
    def kind(self) -> Kind:
        """How the values are stored."""
        lean = self._lean()
        return kind_of(self.values) if lean is None else lean.kind

    @property
    def learns(self) -> bool:
        """Whether the values are a parameter that has a gradient."""
        values = self._parameters.get("values")
        return values is not None and values.requires_grad

    def prepare(self) -> bool:
        """Put a matrix into the order of its products now, instead of at the first.

        Returns
        -------
        bool
            Whether its memory is the CPU's and was put into tile order: False elsewhere, and where
            rows are multiplied in parts (experts).
        """
        self.release()
        if self.bitmap.device.type != "cpu" or self.parts > 1:
            return False
        self.views().tiles(0, self.rows)
        return True

    def learn(self) -> nn.Parameter:
        """Make the values a parameter, by the same name; what is not stored stays zero.

        Raises
        ------
        InputError
            int8 or int4 values: rounded weights do not learn.
        """
        if isinstance(self.values, nn.Parameter):
            return self.values
        if not self.values.is_floating_point():
            raise InputError("train packed values", found=f"{self.kind.name} values",
                             expected="bf16, fp16 or fp32",
                             mend="Pack with values='bf16' or 'fp32'.")
        values = self.values
        del self._buffers["values"]
        learning = nn.Parameter(values)
        self.register_parameter("values", learning)
        return learning

    def check_input(self, x: torch.Tensor) -> None:
        """Refuse an input of another width.

        Raises
        ------
        InputError
            The last dimension of x is not ``cols``.
        """
        if x.shape[-1] != self.cols:
            raise InputError("packed product", found=f"an input of shape {tuple(x.shape)}",
                             expected=f"(..., {self.cols})")

    def extra_repr(self) -> str:
        """Shape, share of set entries and kind, as ``print(model)`` shows them."""
        text = f"{self.cols} -> {self.rows}, values={self.kind.name}"
        if self.scales is not None and self.scales.ndim == 2:
            text += f", group={kernels.group_of(self.cols, self.scales.shape[1])}"
        if self.bitmap.is_meta:
            return text
        return f"{text}, density={self.nnz / max(self.rows * self.cols, 1):.3f}"

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True
               ) -> PackedRows:
        """``nn.Module.to`` and its relatives end here: ``fn`` may move the buffers, not cast."""
        held = {id(self.values)}  # a parameter, or a buffer that is now there again
        held |= {id(buffer) for buffer in self._buffers.values() if buffer is not None}

        def keep_dtype(tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in held:
                return fn(tensor)
            probe = fn(torch.empty(0, dtype=tensor.dtype, device=tensor.device))
            return fn(tensor) if probe.dtype == tensor.dtype else tensor.to(probe.device)

        self._views = None
        super()._apply(keep_dtype, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        found, values = state_dict.get(f"{prefix}values"), self.values
        if found is not None and found.ndim == 1 and found.shape != values.shape:
            empty = torch.empty(found.shape, dtype=values.dtype, device=values.device)
            learns = isinstance(values, nn.Parameter)
            self.values = nn.Parameter(empty) if learns else empty
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.refresh()

    def _save_to_state_dict(self, *args: Any) -> None:
        _ = self.values  # there again
        super()._save_to_state_dict(*args)

    def __getstate__(self) -> dict[str, Any]:
        _ = self.values
        return {**self.__dict__, "_views": None}


def runs_eagerly(x: torch.Tensor, learns: bool) -> bool:
    """Whether nobody watches this call: no compiler, no autograd, no profiler, a plain tensor.

    Then the product is called directly; going through torch's dispatcher costs as much again as
    a small matrix does. ``learns``: whether the values have a gradient.
    """
    return not (
        torch.compiler.is_compiling()
        or type(x) is not torch.Tensor
        or ((x.requires_grad or learns) and torch.is_grad_enabled())
        or torch._C._autograd._profiler_enabled()
    )
