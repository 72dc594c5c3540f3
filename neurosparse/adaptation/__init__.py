"""Loops that change a model's weights: masked LoRA, LoSA, recovery, tuning under a mask."""

from __future__ import annotations

from neurosparse.adaptation.block_errors import BlockErrors, dense_outputs, relative_error
from neurosparse.adaptation.config import MaskedLoraConfig, load_adapter, lora_config
from neurosparse.adaptation.distillation import kl_to_dense, next_token_loss
from neurosparse.adaptation.layer import MaskedLora, adapters_of
from neurosparse.adaptation.losa import losa
from neurosparse.adaptation.masked_product import masked_linear
from neurosparse.adaptation.options import UNPRUNED, LosaOptions
from neurosparse.adaptation.recipes import RECIPES, from_recipe
from neurosparse.adaptation.recovery import recover
from neurosparse.adaptation.rerank import set_rank
from neurosparse.adaptation.result import LosaResult
from neurosparse.adaptation.schedule import cubic
from neurosparse.adaptation.training import TrainOptions

__all__ = [
    "RECIPES",
    "UNPRUNED",
    "BlockErrors",
    "LosaOptions",
    "LosaResult",
    "MaskedLora",
    "MaskedLoraConfig",
    "TrainOptions",
    "adapters_of",
    "cubic",
    "dense_outputs",
    "from_recipe",
    "kl_to_dense",
    "load_adapter",
    "lora_config",
    "losa",
    "masked_linear",
    "next_token_loss",
    "recover",
    "relative_error",
    "set_rank",
]
