"""The PEFT layer around packed weights: the values are updated in place, never a dense weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurosparse import kernels
from neurosparse.adaptation.layer import MaskedLora
from neurosparse.adaptation.masked_product import Rows, effective, tiles
from neurosparse.errors import InputError, ModelError
from neurosparse.sparse import SparseLinear
from neurosparse.sparse.arithmetic import Rows as PackedViews
from neurosparse.sparse.arithmetic import tile
from neurosparse.sparse.bits import unpack_bits


class PackedRows:
    """Rows of a packed matrix, expanded a tile at a time; the bitmap is the mask."""

    def __init__(self, views: PackedViews) -> None:
        self.views, self.bits = views, views.bitmap
        self.shape, self.dtype = (views.bitmap.shape[0], views.cols), views.kind.dtype

    def tile(self, first: int, last: int, dtype: torch.dtype) -> Tensor:
        """Expanded rows."""
        return tile(self.views, first, last, dtype)


class PackedMaskedLora(MaskedLora):
    """Masked LoRA around a ``SparseLinear``.

    Raises
    ------
    InputError
        int8 or int4 values: an update cannot be merged into rounded weights.
    """

    def _get_in_out_features(self, module: nn.Module) -> tuple[int, int]:
        """(in, out); PEFT knows no packed layers and would warn."""
        assert isinstance(module, SparseLinear)
        return module.in_features, module.out_features

    def _first_mask(self) -> Tensor:
        base = self._packed()
        if not base.kind.dtype.is_floating_point:
            raise InputError("masked LoRA", found=f"{base.kind.name} values",
                             expected="bf16, fp16 or fp32",
                             mend="Pack with values='bf16' or 'fp32'.")
        return base.bitmap

    def _packed(self) -> SparseLinear:
        base = self.get_base_layer()
        assert isinstance(base, SparseLinear)
        return base

    def base_rows(self, adapter: str) -> Rows:
        """The packed rows; an explicit mask must be the bitmap itself."""
        return PackedRows(self._packed().views())

    def check_base(self, adapter: str, name: str = "") -> None:
        """Refuse a bitmap that is not the adapter's mask.

        Raises
        ------
        ModelError
            The adapter belongs to another base model.
        """
        if not torch.equal(self.lora_mask[adapter], self._packed().bitmap):
            raise ModelError(
                f"adapt {name}".strip(), found="a bitmap that is not the adapter's mask",
                expected="the sparse model that the adapter was made for")

    def set_mask(self, mask: Tensor, adapter: str = "default") -> None:
        """Refused: the bitmap of packed weights is their mask."""
        raise InputError("masked LoRA", found="another mask for packed weights",
                         expected="the mask that they are packed with")

    def get_delta_weight(self, adapter: str) -> Tensor:
        """Refused: it would be dense."""
        raise InputError("masked LoRA", found="a dense update of packed weights asked for",
                         expected="merge(), which changes the values in place")

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the update to the values, a tile of rows at a time."""
        names = [name for name in (adapter_names or self.active_adapters) if name in self.lora_A
                 and name not in self.merged_adapters]
        for name in names:
            base, rows = self._packed(), self.base_rows(name)
            before = base.values.data
            merged = before.clone()
            a, b = (factor.detach().float() for factor in self.factors(name))
            offsets = base.offsets.tolist()
            for first, last in tiles(rows):
                dense = effective(rows, a, b, self.scaling[name], first, last, torch.float32)
                merged[offsets[first] : offsets[last]] = _under(
                    dense, rows.bits[first:last]).to(merged.dtype)[: offsets[last] - offsets[first]]
            if safe_merge and not bool(torch.isfinite(merged).all()):
                raise ModelError(f"merge {name}", found="NaN or infinite weights",
                                 expected="finite weights", mend="The adapter is broken.")
            self._kept.append(before)
            self._put(base, merged)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """The values as they were before merging, bit for bit."""
        while self.merged_adapters:
            self.merged_adapters.pop()
            self._put(self._packed(), self._kept.pop())

    @staticmethod
    def _put(base: SparseLinear, values: Tensor) -> None:
        if isinstance(base.values, nn.Parameter):
            base.values.data = values
        else:
            base.values = values
        base._views = None



def _under(dense: Tensor, bits: Tensor) -> Tensor:
    """Entries under the set bits, row after row."""
    if dense.device.type == "cpu":
        packed = kernels.pack_values(dense.contiguous().numpy(), bits.contiguous().numpy())
        return torch.from_numpy(packed)
    return dense[unpack_bits(bits, dense.shape[1])]
