"""Models of a 7B model's shapes with random weights, dense and packed, made on the card itself."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from card import Where
from torch import nn

from neurosparse import kernels
from neurosparse.models import find_targets
from neurosparse.sparse import PackedMatrix, SparseLinear
from neurosparse.sparse.bits import pack_bits
from neurosparse.sparse.kinds import find_kind

# (out, in) of the linears of a block of Llama-2-7B, and how many there are of each.
LINEARS = {(4096, 4096): 4, (11008, 4096): 2, (4096, 11008): 1}
HEAD = (32000, 4096)


def config(where: Where, **changes: Any) -> Any:
    """Llama-2-7B, or something as small that has the same parts."""
    sizes = {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
             "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
             "max_position_embeddings": 4096}
    if where.small:
        sizes = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 128,
                 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
                 "max_position_embeddings": 128}
    return transformers.LlamaConfig(**{**sizes, "tie_word_embeddings": False, **changes})


def dense_model(where: Where, **changes: Any) -> Any:
    """Random weights in bfloat16, initialised as the class does."""
    torch.manual_seed(0)
    with torch.device(where.device):
        model = transformers.AutoModelForCausalLM.from_config(
            config(where, **changes), dtype=torch.bfloat16)
    return model.eval().requires_grad_(False)


def random_packed(where: Where, shape: tuple[int, int], sparsity: float, values: str
                  ) -> PackedMatrix:
    """Random mask and values, packed by torch's operators: seconds for a whole model."""
    rows, cols = shape
    mask = torch.rand(shape, device=where.device) >= sparsity
    nnz, kind = int(mask.sum()), find_kind(values)
    payload = torch.zeros(kernels.padded_length(nnz, kind.itemsize), dtype=kind.dtype,
                          device=where.device)
    scales = None
    # As large as what the class initialises with, for the outputs of as many layers to stay finite.
    size = 0.02 / (1 - sparsity) ** 0.5
    if values == "int8":
        payload[:nnz] = torch.randint(-127, 128, (nnz,), dtype=torch.int8, device=where.device)
        scales = torch.full((rows,), size / 73, device=where.device)
    else:
        payload[:nnz] = (torch.randn(nnz, device=where.device) * size).to(kind.dtype)
    return PackedMatrix(pack_bits(mask), payload, scales, (rows, cols), nnz)


def sparsify(where: Where, model: Any, sparsity: float, values: str) -> Any:
    """Put random packed linears in the place of the blocks' own, one after the other."""
    for target in find_targets(model):
        packed = random_packed(where, target.shape, sparsity, values)
        model.set_submodule(target.name, SparseLinear(packed))
    return model


def tokens(where: Where, windows: int, length: int) -> torch.Tensor:
    """Random ids (windows, length) on the CPU, as a calibration text comes."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, config(where).vocab_size, (windows, length), generator=generator)


def linear_bytes(model: nn.Module) -> int:
    """Bytes of the blocks' linears, packed or dense, that one token reads."""
    total = 0
    for module in model.modules():
        if isinstance(module, SparseLinear):
            total += module.packed().nbytes
        elif isinstance(module, nn.Linear):
            total += module.weight.nbytes
    return total
