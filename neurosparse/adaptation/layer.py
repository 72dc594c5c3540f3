"""The PEFT layer: LoRA whose update is masked, so that merging loses no zero.

A custom module of PEFT's LoRA, no fork: ``get_peft_model``, Trainer, saving, loading, merging and
disabling are PEFT's own. The mask and the rank that is in use lie beside A and B and are saved
with them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.lora.config import LoraConfig
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from neurosparse.adaptation.masked_product import (
    DenseRows,
    NoRows,
    Rows,
    effective,
    masked_linear,
    masked_update,
    tiles,
)
from neurosparse.errors import InputError, ModelError
from neurosparse.models.linears import is_conv1d
from neurosparse.sparse.bits import count, ones, pack_bits, unpack_bits


class MaskedLora(Linear):
    """``y = x (W + s M o (B A))^T + b`` around a linear layer (LoSA, arXiv 2502.14816 eq. 1).

    M is taken from the zeros of W when the layer is made and explicit from then on; ``set_mask``
    gives another. Only the first ``rank`` rows of A and columns of B are in use.

    Raises
    ------
    InputError
        A rank larger than the matrix has, or options of LoRA that a mask does not go with.
    """

    in_features: int
    out_features: int
    lora_mask: BufferDict
    other_param_names = (*Linear.other_param_names, "lora_mask", "rank")

    def update_layer(self, adapter_name: str, r: int, lora_alpha: int, config: LoraConfig,
                     **kwargs: Any) -> None:
        """Make A, B and the mask of an adapter."""
        if "rank" not in self.__dict__:  # the parent's constructor calls this at its end
            self.lora_mask = BufferDict({}, persistent=True)
            self.rank: dict[str, int] = {}
            self._kept: list[Tensor] = []
            # Of each layer by itself, whatever the configuration says: GPT-2 keeps (in, out), and a
            # model may hold linears beside it.
            self.fan_in_fan_out = is_conv1d(self.get_base_layer())
        most = min(self.in_features, self.out_features)
        if r > most:
            raise InputError("masked LoRA", found=f"rank {r}",
                             expected=f"at most {most}, the rank of a {self.out_features} x "
                                      f"{self.in_features} matrix")
        if config.use_dora or config.lora_bias or not isinstance(config.init_lora_weights, bool):
            raise InputError("masked LoRA", found="DoRA, a bias of LoRA or an initialisation that "
                             "changes W", expected="plain LoRA")
        super().update_layer(adapter_name, r, lora_alpha, config, **kwargs)
        self.rank[adapter_name] = r
        self.lora_mask[adapter_name] = self._first_mask()

    def _first_mask(self) -> Tensor:
        weight = self.base_weight()
        if weight.is_meta:  # PEFT is about to load an adapter, with its mask
            return ones(self.out_features, self.in_features)
        return pack_bits(weight != 0)

    def base_rows(self, adapter: str) -> Rows:
        """The weight under the mask of an adapter."""
        return DenseRows(self.base_weight(), self.lora_mask[adapter])

    def _base(self) -> nn.Linear:
        return cast(nn.Linear, self.get_base_layer())

    def base_weight(self) -> Tensor:
        """The weight below, a view of shape (out, in)."""
        weight = self._base().weight.data
        return weight.T if self.fan_in_fan_out else weight

    def whole(self, adapter: str) -> tuple[nn.Parameter, nn.Parameter]:
        """A and B with the ranks that are not in use."""
        a, b = cast(nn.Linear, self.lora_A[adapter]), cast(nn.Linear, self.lora_B[adapter])
        return cast(nn.Parameter, a.weight), cast(nn.Parameter, b.weight)

    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """A (rank, in) and B (out, rank), views of what is in use."""
        rank = self.rank[adapter]
        a, b = self.whole(adapter)
        return a[:rank], b[:, :rank]

    def mask(self, adapter: str = "default") -> Tensor:
        """The mask, bool tensor of shape (out, in)."""
        return unpack_bits(self.lora_mask[adapter], self.in_features)

    def kept(self, adapter: str = "default") -> int:
        """Entries that the mask keeps."""
        return count(self.lora_mask[adapter])

    def set_mask(self, mask: Tensor, adapter: str = "default") -> None:
        """Take another mask; the weight must be zero wherever it is.

        Raises
        ------
        InputError
            Another shape.
        """
        if tuple(mask.shape) != (self.out_features, self.in_features):
            raise InputError("masked LoRA", found=f"a mask of shape {tuple(mask.shape)}",
                             expected=str((self.out_features, self.in_features)))
        self.lora_mask[adapter] = pack_bits(mask).to(self.lora_mask[adapter].device)

    def check_base(self, adapter: str, name: str = "") -> None:
        """Refuse a weight that is not zero where the mask is.

        Raises
        ------
        ModelError
            The adapter belongs to another base model.
        """
        rows = self.base_rows(adapter)
        for first, last in tiles(rows):
            tile = rows.tile(first, last, torch.float32)
            outside = unpack_bits(rows.bits[first:last], self.in_features).logical_not_()
            if tile is not None and bool(tile[outside].any()):
                raise ModelError(
                    f"adapt {name}".strip(), found="weights that the adapter's mask has as zero",
                    expected="the sparse model that the adapter was made for",
                    mend="The adapter belongs to another base model, or that was pruned anew.")

    def get_delta_weight(self, adapter: str) -> Tensor:
        """``s M o (B A)`` as PEFT merges it, in the layout of the weight."""
        a, b = self.factors(adapter)
        rows = NoRows((self.out_features, self.in_features), self.lora_mask[adapter])
        made = [masked_update(rows, a.detach().float(), b.detach().float(), self.scaling[adapter],
                              first, last) for first, last in tiles(rows)]
        delta = torch.cat(made).to(self._base().weight.dtype)
        return delta.T if self.fan_in_fan_out else delta

    def write_merged(self, adapter: str, into: Tensor) -> None:
        """``W + s M o (B A)`` to ``into`` (out, in), which may be W: rounded once, as forward."""
        a, b = (factor.detach() for factor in self.factors(adapter))
        rows, scale = self.base_rows(adapter), self.scaling[adapter]
        for first, last in tiles(rows):
            into[first:last] = effective(rows, a, b, scale, first, last, into.dtype)

    def add_to_weight(self, adapter: str, a: Tensor, b: Tensor, sign: float = 1.0) -> None:
        """``W += sign * s M o (b a)``, for factors (rank, in) and (out, rank), a tile at a time."""
        weight = self.base_weight()
        rows = NoRows((self.out_features, self.in_features), self.lora_mask[adapter])
        for first, last in tiles(rows):
            update = masked_update(rows, a, b, sign * self.scaling[adapter], first, last)
            weight[first:last] = (weight[first:last] + update).to(weight.dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Merge; the weight as it was is kept until ``unmerge``, which is therefore exact."""
        names = [name for name in (adapter_names or self.active_adapters) if name in self.lora_A
                 and name not in self.merged_adapters]
        for name in names:
            before = self._base().weight.data
            merged = torch.empty_like(before)
            self.write_merged(name, merged.T if self.fan_in_fan_out else merged)
            if safe_merge and not bool(torch.isfinite(merged).all()):
                raise ModelError(f"merge {name}", found="NaN or infinite weights",
                                 expected="finite weights", mend="The adapter is broken.")
            self._kept.append(before)
            self._base().weight.data = merged
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """The weight as it was before merging, bit for bit."""
        while self.merged_adapters:
            self.merged_adapters.pop()
            self._base().weight.data = self._kept.pop()

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The layer with its active adapters, in one product where there is no dropout."""
        check: Any = self._check_forward_args
        check(x, *args, **kwargs)
        if kwargs.pop("adapter_names", None) is not None:
            raise InputError("masked LoRA", found="adapter_names of a mixed batch",
                             expected="one adapter for the batch")
        names = [name for name in self.active_adapters if name in self.lora_A]
        if self.disable_adapters and self.merged:
            self.unmerge()
        if self.disable_adapters or self.merged or not names:
            plain: Tensor = self.base_layer(x, *args, **kwargs)
            return plain
        return self._adapted(x, names)

    def _adapted(self, x: Tensor, names: list[str]) -> Tensor:
        first, *others = names
        if isinstance(self.lora_dropout[first], nn.Identity) or not self.training:
            out = masked_linear(x, self.base_rows(first), *self.factors(first),
                                self.scaling[first])
            bias = getattr(self.get_base_layer(), "bias", None)
            out = out if bias is None else out + bias.to(out.dtype)
        else:  # dropout makes the update's input another one
            out, others = self.base_layer(x), names
        for name in others:
            rows = NoRows((self.out_features, self.in_features), self.lora_mask[name])
            out = out + masked_linear(self.lora_dropout[name](x), rows, *self.factors(name),
                                      self.scaling[name])
        return out


def adapters_of(model: nn.Module) -> dict[str, MaskedLora]:
    """All masked adapters of a model by the name of their module."""
    return {name: module for name, module in model.named_modules()
            if isinstance(module, MaskedLora)}
