"""Models of transformers: load, find their decoder blocks and linears, replay, stream, tokenise.

Works for any causal language model whose blocks hand one hidden state to the next, with plain,
transposed (``Conv1D``) or fused-expert weights; never names an architecture.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neurosparse.models.blocks import Blocks, find_blocks
from neurosparse.models.context import check_length, context_of
from neurosparse.models.documents import read_documents
from neurosparse.models.identity import identity
from neurosparse.models.loading import LoadedModel, load, load_empty, load_tokenizer
from neurosparse.models.modality import predictions_of, reads_images
from neurosparse.models.products import PRODUCTS, fast_on, fast_products, multiplying, products_of
from neurosparse.models.source import ModelSource, resolve
from neurosparse.models.streaming import is_streamed
from neurosparse.models.targets import Target, find_targets
from neurosparse.models.walk import BlockWalk
from neurosparse.models.watch import watch_inputs
from neurosparse.models.weights import get_weight, nan_check, set_weight
from neurosparse.models.windows import windows

if TYPE_CHECKING:
    from neurosparse.models.depth_operator import DepthPropagator
    from neurosparse.models.flow_operator import DeviceFlowPropagator

__all__ = [
    "PRODUCTS",
    "BlockWalk",
    "Blocks",
    "DepthPropagator",
    "DeviceFlowPropagator",
    "LoadedModel",
    "ModelSource",
    "Target",
    "check_length",
    "context_of",
    "fast_on",
    "fast_products",
    "find_blocks",
    "find_targets",
    "get_weight",
    "identity",
    "is_streamed",
    "load",
    "load_empty",
    "load_tokenizer",
    "multiplying",
    "nan_check",
    "predictions_of",
    "products_of",
    "read_documents",
    "reads_images",
    "resolve",
    "set_weight",
    "watch_inputs",
    "windows",
]

# They stand on the QR driver, whose numba takes longer to import than a packed model to load.
_LATER = {"DepthPropagator": "depth_operator", "DeviceFlowPropagator": "flow_operator"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"neurosparse.models.{_LATER[name]}"), name)
    raise AttributeError(f"module 'neurosparse.models' has no attribute {name!r}")
