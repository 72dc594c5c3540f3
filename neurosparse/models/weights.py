"""Read and write the weight of a target, wherever accelerate has put it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError, ModelError
from neurosparse.models.linears import finite
from neurosparse.models.streaming import opened
from neurosparse.models.targets import Target

_STREAM = "Load the model with stream=True to work on weights that stay on disk."


def _offload_map(module: nn.Module) -> Any:
    """Accelerate's map from parameter names to offloaded weights, or None."""
    try:
        from accelerate.utils import has_offloaded_params
    except ImportError:
        return None
    if not has_offloaded_params(module):
        return None
    hook: Any = module._hf_hook
    return hook.weights_map


def _on_disk(weights: Any, name: str) -> bool:
    """Whether accelerate keeps this weight in a file: then writing to it would be lost."""
    prefix, store = getattr(weights, "prefix", ""), getattr(weights, "dataset", weights)
    in_memory = getattr(store, "state_dict", store)
    return prefix + name not in in_memory


def parameter_data(module: nn.Module, name: str, operation: str) -> Tensor:
    """The storage behind a parameter: the parameter itself, or accelerate's CPU copy of it.

    Raises
    ------
    ModelError
        The weight is on disk (accelerate), or on the meta device.
    """
    weights = _offload_map(module)
    if weights is not None:
        if _on_disk(weights, name):
            raise ModelError(
                operation, found="a weight that accelerate keeps on disk",
                expected="weights in memory", mend=_STREAM,
            )
        stored: Tensor = weights[name]
        return stored
    parameter = module._parameters[name]
    if parameter is None or parameter.is_meta:
        raise ModelError(
            operation, found="a weight that is not in memory (meta device)",
            expected="weights in memory",
            mend="Of a streamed model, open the block first: with walk.block(i).",
        )
    return parameter.data


def _as_matrix(data: Tensor, target: Target) -> Tensor:
    matrix = data if target.expert is None else data[target.expert]
    return matrix.T if target.transposed else matrix


def get_weight(model: nn.Module, target: Target) -> Tensor:
    """The weight of a target.

    Returns
    -------
    Tensor [out, in]
        A view: writing to it writes to the model.

    Raises
    ------
    ModelError
        The weight is not in memory (a streamed model's closed block, accelerate's disk offload).
    """
    module = model.get_submodule(target.module_name)
    return _as_matrix(parameter_data(module, target.parameter, f"read {target.name}"), target)


def set_weight(model: nn.Module, target: Target, tensor: Tensor) -> None:
    """Write the weight of a target in place, cast to the dtype and device it has.

    Parameters
    ----------
    tensor
        [out, in].

    Raises
    ------
    InputError
        The shape is not the target's.
    ModelError
        As for :func:`get_weight`.
    """
    if tuple(tensor.shape) != target.shape:
        raise InputError(
            f"write {target.name}", found=f"a tensor of shape {tuple(tensor.shape)}",
            expected=str(target.shape),
        )
    module = model.get_submodule(target.module_name)
    with torch.no_grad():
        get_weight(model, target).copy_(tensor)
        # accelerate's offloaded weight may be on its device just now (inside a forward pass).
        present = module._parameters[target.parameter]
        if _offload_map(module) is not None and present is not None and not present.is_meta:
            _as_matrix(present.data, target).copy_(tensor)


def nan_check(model: nn.Module, targets: Iterable[Target]) -> None:
    """Refuse a model with a NaN or an infinity among the weights of its targets.

    Of a streamed model each block is read once.

    Raises
    ------
    ModelError
        Names the first such target.
    """
    by_block: dict[int, list[Target]] = {}
    for target in targets:
        by_block.setdefault(target.block, []).append(target)
    for block, members in by_block.items():
        with opened(model, block):
            for target in members:
                if not finite(get_weight(model, target)):
                    raise ModelError(
                        f"check {target.name}", found="NaN or infinite weights",
                        expected="finite weights",
                        mend="The checkpoint is damaged, or its dtype was too narrow for it.",
                    )
