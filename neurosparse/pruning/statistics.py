"""What is remembered of the inputs of a linear map."""

from __future__ import annotations

import torch

from neurosparse.errors import InputError, ModelError


class InputStatistics:
    """Sum and sum of squares of each feature, in float64; on request the whole Gram matrix.

    Parameters
    ----------
    width
        Input features.
    gram
        Also sum ``X^T X``, tensor of shape (width, width), in float32.
    """

    def __init__(self, width: int, *, gram: bool = False) -> None:
        self.count = 0
        self.sum = torch.zeros(width, dtype=torch.float64)
        self.square_sum = torch.zeros(width, dtype=torch.float64)
        self.gram = torch.zeros(width, width) if gram else None

    def add(self, inputs: torch.Tensor) -> None:
        """Add inputs of shape (tokens, width)."""
        self.add_sums(*_sums(inputs))
        if self.gram is not None:
            self.gram = _add_gram(self.gram.to(inputs.device), inputs)

    def add_sums(self, count: int, total: torch.Tensor, square: torch.Tensor) -> None:
        """Add so many inputs by their sums, float64 tensors of shape (width,)."""
        self.count += count
        self.sum += total
        self.square_sum += square

    @property
    def norm(self) -> torch.Tensor:
        """Euclidean norm of each feature over all tokens, float64 tensor of shape (width,)."""
        return self.square_sum.sqrt()

    @property
    def mean(self) -> torch.Tensor:
        """Mean of each feature over all tokens, float64 tensor of shape (width,)."""
        return self.sum / max(self.count, 1)

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each feature over all tokens, float64 tensor of shape (width,)."""
        return (self.square_sum / max(self.count, 1) - self.mean.square()).clamp_min(0.0)


_PIECE = 512


def _add_gram(gram: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """``gram + X^T X`` with products and sums in float32."""
    halves = inputs.dtype in (torch.bfloat16, torch.float16)
    if inputs.is_cuda and halves and hasattr(torch.ops.aten.mm, "dtype"):  # torch 2.8 and later
        # Products of 16-bit numbers are exact in float32: tensor cores lose nothing, and take a
        # tenth of the time.
        return gram.add_(torch.mm(inputs.T, inputs, out_dtype=torch.float32))
    values = inputs.float()
    return gram.addmm_(values.T, values)


def _sums(inputs: torch.Tensor) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Inputs, their sum and sum of squares: in float32 over pieces, in float64 over the pieces."""
    if inputs.device.type != "cpu":  # every piece would be five launches; float64 sums are free
        values = inputs.float()
        total, square = (part.sum(0, dtype=torch.float64) for part in (values, values.square()))
        return len(inputs), total.cpu(), square.cpu()
    total = torch.zeros(inputs.shape[1], dtype=torch.float64, device=inputs.device)
    square = torch.zeros_like(total)
    for piece in torch.split(inputs, _PIECE):
        values = piece.float()
        total += values.sum(0)
        square += torch.linalg.vecdot(values, values, dim=0)
    return len(inputs), total.cpu(), square.cpu()


def seen_norm(method: str, weight: torch.Tensor, inputs: InputStatistics | None) -> torch.Tensor:
    """Norm of each input feature where the weight is, tensor of shape (in,).

    In the weight's dtype, but in float32 for float16, whose range a norm over many tokens leaves:
    scores of zero weights would then be no numbers, and those of small ones all zero.

    Raises
    ------
    InputError
        No inputs were seen; the message names the method that needs them.
    """
    if inputs is None or inputs.count == 0:
        raise InputError(method, found="no calibration inputs", expected="some tokens")
    dtype = torch.float32 if weight.dtype == torch.float16 else weight.dtype
    return inputs.norm.to(device=weight.device, dtype=dtype)


class StatisticsByTarget:
    """Statistics of many linears, filled by ``models.watch_inputs``.

    With Gram matrices, linears that are called one after the other with the same tensor (query,
    key and value) share one object, so that no product is formed twice.
    """

    def __init__(self, *, gram: bool = False) -> None:
        self.by_name: dict[str, InputStatistics] = {}
        self._gram = gram
        self._last: tuple[torch.Tensor, str] | None = None
        self._shared: dict[str, str] = {}

    def add(self, name: str, inputs: torch.Tensor) -> None:
        """Add inputs of shape (tokens, width) to the statistics of ``name``."""
        leader = self._leader(name, inputs) if self._gram else name
        if leader != name:
            self.by_name[name] = self.by_name[leader]
            return
        if name not in self.by_name:
            self.by_name[name] = InputStatistics(inputs.shape[1], gram=self._gram)
        self.by_name[name].add(inputs)
        self._last = (inputs, name)

    def _leader(self, name: str, inputs: torch.Tensor) -> str:
        """The linear that has just been given this very tensor, or ``name`` itself."""
        same = (self._last is not None and self._last[0].data_ptr() == inputs.data_ptr()
                and self._last[0].shape == inputs.shape
                and self._last[0].stride() == inputs.stride())
        leader = self._last[1] if same and self._last is not None else name
        # A pair that shared once must share always, or its sums would drift apart.
        if self._shared.setdefault(name, leader) != leader:
            raise ModelError("collect statistics", found=f"{name} with an input of its own",
                             expected=f"the input of {self._shared[name]}, as in earlier batches")
        return leader

    def get(self, name: str) -> InputStatistics | None:
        """Statistics of one linear, ``None`` if it never saw a token."""
        return self.by_name.get(name)
