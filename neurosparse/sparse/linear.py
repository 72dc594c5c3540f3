"""A linear layer over packed weights."""

from __future__ import annotations

import torch
from torch import nn

from neurosparse.errors import InputError
from neurosparse.sparse.arithmetic import multiply
from neurosparse.sparse.matrix import PackedMatrix
from neurosparse.sparse.operators import bitmap_linear
from neurosparse.sparse.rows import PackedRows, runs_eagerly


class SparseLinear(PackedRows):
    """``y = x W^T + b`` with W as a bitmap and its values.

    On the CPU the matrix is multiplied in tile order (``neurosparse.tiles``), few rows of x by the
    matrix-vector kernels, many by the matrix product of a level that has one; on a GPU up to
    sixteen rows by its kernels (``neurosparse.sparse.backend`` says whose). All else multiplies
    with tiles of expanded rows. The dense weight never exists as a whole. Sums are float32; the
    result has x's dtype. There is a gradient with respect to x and the bias, and after ``learn()``
    with respect to the values.

    Dtypes: ``.to(dtype)``, ``.half()``, ``.float()`` and ``.type()`` cast the bias and leave the
    packed buffers as they are stored: a model loaded with ``dtype="float32"`` computes in float32
    with bf16 values. (transformers refuses ``.half()`` and ``.float()`` on a whole quantized model;
    ``model.to(torch.float16)`` does the same and is allowed.)

    Parameters
    ----------
    packed
        Matrix of shape (out_features, in_features).
    bias : tensor of shape (out_features,), optional
        Becomes a parameter; a parameter is taken as it is.
    transposed
        The dense module that this one stands for keeps its weight as (in, out).
    counted
        As for ``PackedRows``.

    Raises
    ------
    InputError
        The bias or the bitmap has another shape than the matrix says.
    """

    def __init__(self, packed: PackedMatrix, bias: torch.Tensor | None = None, *,
                 transposed: bool = False, counted: bool = True) -> None:
        super().__init__(packed, counted=counted)
        self.transposed = transposed
        self.out_features, self.in_features = packed.shape
        if bias is not None and bias.shape != (self.out_features,):
            raise InputError("SparseLinear", found=f"a bias of shape {tuple(bias.shape)}",
                             expected=f"({self.out_features},)")
        if bias is not None and not isinstance(bias, nn.Parameter):
            bias = nn.Parameter(bias, requires_grad=False)
        self.register_parameter("bias", bias)
        self.bias: nn.Parameter | None

    @classmethod
    def from_packed(cls, packed: PackedMatrix, bias: torch.Tensor | None = None) -> SparseLinear:
        """A layer that shares memory with a packed matrix."""
        return cls(packed, bias)

    @property
    def qweight(self) -> torch.Tensor:
        """The values, under the name by which PEFT finds the device of a layer without weight."""
        return self.values

    def dense_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the weight that the packed buffers stand for, by its name."""
        shape = (self.rows, self.cols)
        return {"weight": shape[::-1] if self.transposed else shape}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (..., in_features) to (..., out_features), x.dtype.

        Raises
        ------
        InputError
            x has another width.
        """
        self.check_input(x)
        if runs_eagerly(x, self.learns):
            out = multiply(x, self.views(), 0, self.rows)
            if out.device.type != "cpu":
                self.release()
        else:
            out = bitmap_linear(x, self.bitmap, self.values, self.scales, self.offsets)
        bias = self._parameters["bias"]
        return out if bias is None else out + bias.to(out.dtype)
