"""The same model dense: what a packed model is to be compared with."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from neurosparse.errors import ModelError
from neurosparse.models.loading import forget_quantisation
from neurosparse.models.streaming import build_empty
from neurosparse.sparse import SparseExperts, SparseLinear
from neurosparse.sparse.arithmetic import tile
from neurosparse.sparse.rows import PackedRows
from neurosparse.sparse.vocabulary import RoundedEmbedding, RoundedHead


def dense_twin(model: nn.Module, *, dtype: torch.dtype | None = None) -> nn.Module:
    """A packed model with its packed matrices written out, zeros and all.

    Everything that is not packed is shared with ``model``, not copied.

    Parameters
    ----------
    model
        Packed model of transformers, as ``sparse.load`` gives it. It is not changed.
    dtype
        Of the dense matrices; by default that of the model's other parameters.

    Returns
    -------
    model of transformers
        Of the same class: it runs, generates and saves as if it had never been packed.

    Raises
    ------
    ModelError
        Nothing is packed in it, or something in a form that is not known here.
    """
    if not any(isinstance(module, PackedRows) for module in model.modules()):
        raise ModelError("expand a packed model", found=f"a {type(model).__name__} without packed "
                         "matrices", expected="a model of neurosparse.sparse.load")
    kind = dtype or next(p.dtype for p in model.parameters() if p.is_floating_point())
    shared: dict[int, Any] = {
        id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin: Any = copy.deepcopy(model, shared)
    forget_quantisation(twin)
    empty = _Empty(twin)
    for name, module in list(twin.named_modules()):
        if isinstance(module, SparseExperts):
            twin.set_submodule(name, _experts(empty.submodule(name), module, kind))
        elif isinstance(module, SparseLinear):
            twin.set_submodule(name, _linear(module, kind))
    if isinstance(twin.get_input_embeddings(), RoundedEmbedding):
        _vocabulary(twin, empty, kind)
    left = [name for name, module in twin.named_modules() if isinstance(module, PackedRows)]
    if left:
        raise ModelError("expand a packed model", found=f"{left[0]}, a "
                         f"{type(twin.get_submodule(left[0])).__name__}",
                         expected="packed linears and experts")
    return twin.eval().requires_grad_(False)  # type: ignore[no-any-return]


class _Empty:
    """The dense class of the model on the meta device, built when it is first asked for."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._built: nn.Module | None = None

    def submodule(self, name: str) -> nn.Module:
        if self._built is None:
            self._built = build_empty(type(self._model), copy.deepcopy(self._model.config),
                                      dtype=torch.float32)
        return self._built.get_submodule(name)


def _linear(packed: SparseLinear, dtype: torch.dtype) -> nn.Module:
    if packed.bitmap.is_cuda:
        weight = tile(packed.views(), 0, packed.rows, dtype)
    else:
        weight = packed.to_dense(dtype)
    rows, cols = weight.shape
    with torch.device("meta"):  # an empty shell, without random numbers
        linear: Any
        if packed.transposed:
            from transformers.pytorch_utils import Conv1D

            linear = Conv1D(rows, cols)  # type: ignore[no-untyped-call]
        else:
            linear = nn.Linear(cols, rows, bias=False)
    linear.weight = _fixed(weight.T.contiguous() if packed.transposed else weight)
    linear.register_parameter("bias", packed.bias)
    found: nn.Module = linear
    return found


def _vocabulary(twin: Any, empty: _Empty, dtype: torch.dtype) -> None:
    """Embedding and head in floats, tied if they were."""
    words, head = twin.get_input_embeddings(), twin.get_output_embeddings()
    names = {id(module): name for name, module in twin.named_modules()}
    tied = head is not None and head.weight is words.weight
    embedding: Any = empty.submodule(names[id(words)])
    embedding.weight = _fixed(words.to_dense(dtype))
    if hasattr(embedding, "embed_scale"):
        embedding.embed_scale = torch.tensor(words.factor, device=words.weight.device)
    twin.set_submodule(names[id(words)], embedding)
    if isinstance(head, RoundedHead):
        with torch.device("meta"):
            linear = nn.Linear(head.in_features, head.out_features, bias=False)
        linear.weight = embedding.weight if tied else _fixed(head.to_dense(dtype))
        linear.register_parameter("bias", head._parameters["bias"])
        twin.set_submodule(names[id(head)], linear)


def _experts(module: nn.Module, packed: SparseExperts, dtype: torch.dtype) -> nn.Module:
    parts = {"gate_up_proj": packed.gate_up_proj, "down_proj": packed.down_proj}
    for name, shape in packed.dense_shapes().items():
        dense = parts[name].to_dense(dtype).reshape(shape).to(parts[name].bitmap.device)
        module.register_parameter(name, _fixed(dense))
    return module


def _fixed(weight: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(weight, requires_grad=False)
