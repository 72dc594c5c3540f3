"""What counts as a linear map inside a block: plain linears and fused experts.

transformers 5 keeps the experts of a mixture in two 3-D parameters, ``gate_up_proj`` and
``down_proj``, with no ``nn.Linear`` below; some classes store them transposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurosparse.errors import ModelError

ROUTERS = frozenset({"expert_gate", "gate", "router", "shared_expert_gate", "wg"})
OUTPUTS = frozenset({"c_proj", "dense", "o_proj", "out_proj", "wo"})


@dataclass(frozen=True)
class FusedExperts:
    """How one experts module keeps its weights.

    Parameters
    ----------
    up
        Name of the first parameter: ``"gate_up_proj"``, or ``"up_proj"`` where nothing gates.
    down
        Name of the second: ``"down_proj"``.
    count
        Number of experts E.
    transposed
        Whether a slice is [in, out] rather than [out, in].
    """

    up: str
    down: str
    count: int
    transposed: bool

    @property
    def names(self) -> tuple[str, str]:
        """Both parameters in forward order."""
        return self.up, self.down


def fused_experts(module: nn.Module) -> FusedExperts | None:
    """The layout of fused experts, or None for any other module.

    Raises
    ------
    ModelError
        The module holds fused experts of a shape that is not understood.
    """
    parameters = module._parameters
    down = parameters.get("down_proj")
    up_name = "gate_up_proj" if parameters.get("gate_up_proj") is not None else "up_proj"
    up = parameters.get(up_name)
    if down is None or up is None or down.dim() != 3 or up.dim() != 3:
        return None
    transposed = getattr(module, "is_transposed", None)
    if transposed is None:
        hidden = getattr(module, "hidden_dim", getattr(module, "hidden_size", None))
        straight, turned = up.shape[2] == down.shape[1], up.shape[1] == down.shape[2]
        if hidden is not None:
            straight, turned = straight and up.shape[2] == hidden, turned and up.shape[1] == hidden
        if straight == turned:
            raise ModelError(
                f"read the experts of {type(module).__name__}",
                found=f"{up_name} {tuple(up.shape)} and down_proj {tuple(down.shape)}",
                expected="[experts, out, in] or [experts, in, out], told apart by their shapes",
            )
        transposed = turned
    return FusedExperts(up_name, "down_proj", int(up.shape[0]), bool(transposed))


def is_conv1d(module: nn.Module) -> bool:
    """Whether this is the ``Conv1D`` of GPT-2: a linear map whose weight is [in, out]."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def is_linear(module: nn.Module) -> bool:
    """Whether the module is one linear map with a floating-point 2-D ``weight``."""
    if not isinstance(module, nn.Linear) and not is_conv1d(module):
        return False
    weight = module._parameters.get("weight")
    return isinstance(weight, Tensor) and weight.dim() == 2 and weight.is_floating_point()


def holds_weights(module: nn.Module) -> bool:
    """Whether any linear map or fused experts lie at or below the module.

    A packed linear counts too (it has a ``bitmap`` in place of a weight), so that the blocks of a
    packed model are still found.
    """
    return any(
        is_linear(inner) or fused_experts(inner) is not None or "bitmap" in inner._buffers
        for inner in module.modules()
    )


def finite(weight: Tensor) -> bool:
    """Whether no entry is NaN or infinite, without a copy of the weight."""
    if weight.numel() == 0:
        return True
    low, high = torch.aminmax(weight)
    return bool(torch.isfinite(low)) and bool(torch.isfinite(high))
