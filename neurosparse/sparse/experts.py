"""Fused experts over packed weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from neurosparse.errors import ModelError
from neurosparse.sparse.matrix import PackedMatrix
from neurosparse.sparse.operators import bitmap_grouped_linear, multiply_groups
from neurosparse.sparse.rows import PackedRows, runs_eagerly

PARTS = ("gate_up_proj", "down_proj")
# What transformers' decorator of fused experts writes on a module, and the one form done here.
_FORM = {"has_gate": True, "has_bias": False, "is_transposed": False, "is_concatenated": True,
         "has_post_expert_norm": False}


def is_fused_experts(module: nn.Module) -> bool:
    """Whether a module holds fused experts in the one form that can be packed.

    ``gate_up_proj`` (experts, 2 inner, width) and ``down_proj`` (experts, width, inner), an
    activation ``act_fn``, no biases, gate and up halves side by side: Mixtral, Qwen-MoE, OLMoE,
    DeepSeek and others of transformers 5.
    """
    weights = [module._parameters.get(part) for part in PARTS]
    if any(weight is None or weight.ndim != 3 for weight in weights):
        return False
    if any(getattr(module, name, want) != want for name, want in _FORM.items()):
        return False
    gate = getattr(type(module), "_apply_gate", None)
    usual = gate is None or gate.__name__ == "_default_apply_gate"
    return usual and hasattr(module, "act_fn") and len(list(module.parameters())) == len(PARTS)


class SparseExperts(nn.Module):
    """The fused experts of a mixture, each ``down(act(gate(x)) * up(x))``, over packed weights.

    The rows of all experts lie below one another in one packed matrix a part, so that the state
    dict has ``gate_up_proj.bitmap``, ``gate_up_proj.values``, ``down_proj.bitmap`` ... Takes the
    place of the experts module of transformers 5; whatever ``experts_implementation`` the model
    asks for, this module computes in its own way: tokens sorted by expert, one product a group.

    Parameters
    ----------
    gate_up_proj
        Packed (experts * 2 inner, width).
    down_proj
        Packed (experts * width, inner).
    num_experts
        Number of experts.
    act_fn
        Activation of the gate.

    Raises
    ------
    ModelError
        The shapes do not fit together.
    """

    def __init__(self, gate_up_proj: PackedMatrix, down_proj: PackedMatrix, *, num_experts: int,
                 act_fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.hidden_dim, self.intermediate_dim = gate_up_proj.shape[1], down_proj.shape[1]
        fits = (gate_up_proj.shape[0] == num_experts * 2 * self.intermediate_dim
                and down_proj.shape[0] == num_experts * self.hidden_dim)
        if not fits:
            raise ModelError(
                "SparseExperts", found=f"parts {gate_up_proj.shape} and {down_proj.shape}",
                expected=f"(experts * 2 inner, width), (experts * width, inner), {num_experts=}")
        self.gate_up_proj = PackedRows(gate_up_proj, parts=num_experts)
        self.down_proj = PackedRows(down_proj, parts=num_experts)
        self.act_fn = act_fn

    @classmethod
    def in_place_of(cls, experts: nn.Module, gate_up_proj: PackedMatrix, down_proj: PackedMatrix
                    ) -> SparseExperts:
        """Packed form of an experts module of transformers."""
        count = experts.get_parameter("gate_up_proj").shape[0]
        act_fn: Any = experts.act_fn
        return cls(gate_up_proj, down_proj, num_experts=count, act_fn=act_fn)

    def dense_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that the packed buffers stand for, by their names."""
        up = (self.num_experts, 2 * self.intermediate_dim, self.hidden_dim)
        return {"gate_up_proj": up,
                "down_proj": (self.num_experts, self.hidden_dim, self.intermediate_dim)}

    def forward(self, hidden_states: torch.Tensor, top_k_index: torch.Tensor,
                top_k_weights: torch.Tensor) -> torch.Tensor:
        """Weighted sum of the chosen experts.

        Parameters
        ----------
        hidden_states : tensor of shape (tokens, width)
        top_k_index : int64 tensor of shape (tokens, k)
            ``num_experts`` stands for no expert.
        top_k_weights : tensor of shape (tokens, k)

        Returns
        -------
        tensor of shape (tokens, width), dtype of ``hidden_states``
        """
        tokens, chosen = top_k_index.shape
        order = torch.argsort(top_k_index.reshape(-1), stable=True)
        ids = top_k_index.reshape(-1)[order]
        ends = torch.searchsorted(ids, torch.arange(self.num_experts, device=ids.device,
                                                    dtype=ids.dtype), right=True)
        both = self._product(self.gate_up_proj, hidden_states[order // chosen], ends)
        gate, up = both.chunk(2, dim=-1)
        out = self._product(self.down_proj, self.act_fn(gate) * up, ends)
        back = torch.empty_like(order).scatter_(0, order, torch.arange(order.shape[0],
                                                                       device=order.device))
        out = out[back].reshape(tokens, chosen, self.hidden_dim)
        mixed: torch.Tensor = (out * top_k_weights[..., None]).sum(1)
        return mixed.to(hidden_states.dtype)

    @staticmethod
    def _product(part: PackedRows, x: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        if runs_eagerly(x, part.learns):
            out = multiply_groups(x, ends, part.views())
            if out.device.type != "cpu":
                part.release()
            return out
        watched: torch.Tensor = bitmap_grouped_linear(
            x, ends, part.bitmap, part.values, part.scales, part.offsets)
        return watched
