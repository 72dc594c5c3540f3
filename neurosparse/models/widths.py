"""Models whose blocks differ in width, as ``prune --structured`` writes them.

The room that writes and reads their widths (``sparse.uneven``) lies above this one and hangs itself
into transformers' table of quantised formats. So it is asked through that table, once the package's
front has put it there.
"""

from __future__ import annotations

from typing import Any

from torch import nn

_ENTRY = "neurosparse_widths"
_METHOD = "neurosparse-uneven"


def is_cut(config: Any) -> bool:
    """Whether a configuration tells widths of its blocks."""
    return getattr(config, _ENTRY, None) is not None


def is_plain_cut(config: Any) -> bool:
    """Whether it tells widths and its weights are dense: cut, and not packed since."""
    told = getattr(config, "quantization_config", None)
    return is_cut(config) and isinstance(told, dict) and told.get("quant_method") == _METHOD


def prepare_for(config: Any) -> None:
    """Let ``from_pretrained`` read a cut model as one; nothing is done for another."""
    if is_cut(config):
        from neurosparse import register

        register()


def shape_skeleton(model: Any) -> nn.Module:
    """A model as its class builds it, on the meta device, with the widths that its configuration
    tells; one that tells none stays as it is.

    Raises
    ------
    FormatError
        Widths that do not fit the model, or of another version.
    """
    config = model.config
    if is_cut(config):
        from transformers.quantizers.auto import (
            AUTO_QUANTIZATION_CONFIG_MAPPING,
            AUTO_QUANTIZER_MAPPING,
        )

        prepare_for(config)
        # Of a model that was packed as well, the entry is the packing's own.
        told = dict(config.quantization_config) if is_plain_cut(config) else {"version": 1}
        told.pop("quant_method", None)
        entry = AUTO_QUANTIZATION_CONFIG_MAPPING[_METHOD](**told)
        AUTO_QUANTIZER_MAPPING[_METHOD](entry)._process_model_before_weight_loading(model)
    shaped: nn.Module = model
    return shaped
