"""The plug-in for transformers: ``from_pretrained`` of a model whose blocks differ in width.

It is hung in where quantised formats are, because that is the one place where ``from_pretrained``
lets a model's skeleton be changed before weights are read. The loaded model is dense and ordinary:
nothing of it is marked as quantised, so it trains, casts and moves like any other.
"""

from __future__ import annotations

from typing import Any

from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from neurosparse.errors import FormatError
from neurosparse.sparse.uneven import ENTRY, UNEVEN, VERSION, apply_widths


class UnevenConfig(QuantizationConfigMixin):
    """``quantization_config`` of an uneven model: its name and version, nothing else.

    Raises
    ------
    FormatError
        Another version, or entries that are not known.
    """

    def __init__(self, **entries: Any) -> None:
        known = {"quant_method": UNEVEN, "version": VERSION}
        if {"quant_method": UNEVEN, **entries} != known:
            raise FormatError("read config.json", found=f"quantization_config {entries}",
                              expected=str(known))
        vars(self).update(known)


class UnevenQuantizer(HfQuantizer):
    """Makes the blocks of a skeleton as wide as the configuration says; quantises nothing."""

    requires_calibration = True  # transformers then refuses to "quantize" an even model

    def _process_model_before_weight_loading(self, model: Any, **kwargs: Any) -> None:
        if getattr(model.config, ENTRY, None) is None:
            raise FormatError("from_pretrained", found=f"no {ENTRY} in config.json",
                              expected="the folder of a cut model")
        apply_widths(model)

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        # The configuration keeps its entry, so that save_pretrained writes a folder of this kind.
        for name in ("hf_quantizer", "quantization_method"):
            vars(model).pop(name, None)
        model.is_quantized = False
        for module in model.modules():
            if "_is_quantized" in vars(vars(module).get("config", module)):
                module.config._is_quantized = False
        model.config.quantization_config = {"quant_method": UNEVEN, "version": VERSION}
        return model

    def is_serializable(self) -> bool:
        """Whether ``save_pretrained`` may write it."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Whether all weights have gradients."""
        return True
