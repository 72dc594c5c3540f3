"""Weights that stay on disk and come block by block.

A streamed model is the ordinary transformers model with the parameters of its decoder blocks on
the meta device. ``StreamedBlocks`` brings one block's parameters in from the safetensors shards
and lets them go again. Renamed and fused weights (the experts of a mixture lie one by one in the
files) go through transformers' own conversion, asked for one block at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurosparse.errors import FormatError, ModelError
from neurosparse.models.blocks import Blocks, find_blocks
from neurosparse.models.quiet import quiet
from neurosparse.models.shards import StoredTensor, read_headers
from neurosparse.models.widths import is_plain_cut, shape_skeleton

_ATTRIBUTE = "_neurosparse_stream"


def _load_config(model: Any, dtype: torch.dtype, device: torch.device, mapping: list[Any]) -> Any:
    """Transformers' settings for one call of its converter.

    The second entry of the device map matches no weight; a "disk" among the devices is how
    transformers is told to read one tensor at a time rather than in a pool of threads, whose
    stacks and early reads would count against the memory that streaming is there to save.
    """
    from transformers.modeling_utils import LoadStateDictConfig

    return LoadStateDictConfig(
        device_map={"": device, "neurosparse reads one by one": "disk"},
        dtype=dtype,
        dtype_plan=model._get_dtype_plan(dtype),
        weight_mapping=mapping,
    )


def _sort_keys(
    model: Any, stored: Mapping[str, StoredTensor], blocks: Blocks, mapping: list[Any]
) -> list[dict[str, StoredTensor]]:
    """The stored tensors of each block, and of the rest as the last entry."""
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        rename_source_key,
    )

    renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    state = model.state_dict()
    groups: list[dict[str, StoredTensor]] = [{} for _ in range(len(blocks) + 1)]
    for key, tensor in stored.items():
        name, _ = rename_source_key(
            key, renamings, converters, model.base_model_prefix, state
        )
        if name not in state and key in state:
            name = key
        part, found = name.removeprefix(blocks.prefix + ".").split(".", 1)[0], len(blocks)
        if name.startswith(blocks.prefix + ".") and part.isdigit() and int(part) < len(blocks):
            found = int(part)
        groups[found][key] = tensor
    return groups


class StreamedBlocks:
    """The decoder blocks of one model, on disk.

    Parameters
    ----------
    model
        A transformers model whose parameters are all on the meta device.
    folder
        With (sharded) safetensors.
    dtype
        What weights become in memory.
    device
        Where they go.
    """

    def __init__(
        self, model: Any, folder: Path, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping

        self.folder = folder
        self.dtype = dtype
        self.device = device
        self.blocks = find_blocks(model)
        self._mapping = get_model_conversion_mapping(model)
        self._groups = _sort_keys(model, read_headers(folder), self.blocks, self._mapping)
        self._open = [0] * len(self.blocks)
        self._empty = [
            {
                name: (owner, leaf, parameter)
                for prefix, owner in block.named_modules()
                for leaf, parameter in owner._parameters.items()
                if parameter is not None
                for name in [f"{prefix}.{leaf}" if prefix else leaf]
            }
            for block in self.blocks.modules
        ]
        for members in self._empty:
            for _, _, parameter in members.values():
                # Or else the initialisation of the rest would draw random numbers for these.
                setattr(parameter, "_is_hf_initialized", True)  # noqa: B010 (not declared on Parameter)

    def load_rest(self, model: Any) -> None:
        """Bring in everything outside the blocks, buffers included, and tie what is tied."""
        info, config = self._convert(model, self._groups[-1])
        inside = tuple(name + "." for name in self.blocks.names)
        info.missing_keys = {key for key in info.missing_keys if not key.startswith(inside)}
        absent = info.missing_keys - set(model.all_tied_weights_keys)
        if absent:
            raise self._missing(absent)
        type(model)._finalize_model_loading(model, config, info)

    def _missing(self, names: set[str]) -> FormatError:
        first = sorted(names)[0]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return FormatError(
            f"load {self.folder}", found=f"no weights for {first}{more}",
            expected="a weight for every parameter",
            mend="The checkpoint is incomplete, or config.json is of another model.",
        )

    def _convert(self, model: Any, stored: Mapping[str, StoredTensor]) -> tuple[Any, Any]:
        from transformers.core_model_loading import convert_and_load_state_dict_in_model

        config = _load_config(model, self.dtype, self.device, self._mapping)
        with quiet():
            info, _ = convert_and_load_state_dict_in_model(model, dict(stored), config)
        problems = [
            f"{name} of shape {tuple(found)} in place of {tuple(wanted)}"
            for name, found, wanted in sorted(info.mismatched_keys)
        ] + list(info.conversion_errors.values())
        if problems:
            raise FormatError(
                f"load {self.folder}", found=problems[0].strip().splitlines()[-1],
                expected="weights of the shapes that config.json gives",
            )
        return info, config

    def open(self, model: nn.Module, index: int) -> None:
        """Bring block ``index`` in; calls nest."""
        self._open[index] += 1
        if self._open[index] > 1:
            return
        try:
            self._convert(model, self._groups[index])
            absent = {
                f"{self.blocks.names[index]}.{name}"
                for name, (owner, leaf, _) in self._empty[index].items()
                if getattr(owner._parameters[leaf], "is_meta", True)
            }
            if absent:
                raise self._missing(absent)
            for parameter in self.blocks.modules[index].parameters():
                parameter.requires_grad_(False)
        except BaseException:
            self.close(index)
            raise

    def close(self, index: int) -> None:
        """Let block ``index`` go; what was written to its weights is gone with them."""
        self._open[index] -= 1
        if self._open[index] > 0:
            return
        for owner, leaf, parameter in self._empty[index].values():
            owner._parameters[leaf] = parameter


def stream_of(model: nn.Module) -> StreamedBlocks | None:
    """The stream of a model loaded with ``stream=True``, else None."""
    stream: StreamedBlocks | None = getattr(model, _ATTRIBUTE, None)
    return stream


def is_streamed(model: nn.Module) -> bool:
    """Whether the model was loaded with ``stream=True``: its blocks come from disk when opened."""
    return stream_of(model) is not None


@contextlib.contextmanager
def opened(model: nn.Module, index: int) -> Iterator[nn.Module]:
    """Block ``index`` with its weights present; of a model in memory this is just the block.

    Of a streamed model the weights are read at entry and dropped at exit. Entries nest.
    """
    stream = stream_of(model)
    if stream is None:
        yield find_blocks(model).modules[index]
        return
    stream.open(model, index)
    try:
        yield stream.blocks.modules[index]
    finally:
        stream.close(index)


def build_empty(model_class: Any, config: Any, *, dtype: torch.dtype) -> nn.Module:
    """A model of that class with everything on the meta device."""
    with contextlib.ExitStack() as stack:
        asked = len(signature(model_class.get_init_context).parameters)  # 5.0 has three
        for context in model_class.get_init_context(*(dtype, False, False, None)[:asked]):
            stack.enter_context(context)
        model: nn.Module = model_class(config)
    return model


def build_streamed(
    model_class: Any, config: Any, folder: Path, *, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    """A model whose decoder blocks stay in ``folder`` and whose other parts are in memory.

    Raises
    ------
    FormatError
        Weights are missing, damaged, or of other shapes than the configuration says.
    ModelError
        The checkpoint is quantised.
    """
    if getattr(config, "quantization_config", None) is not None and not is_plain_cut(config):
        raise ModelError(
            f"stream {folder}", found="a quantised checkpoint", expected="dense weights",
            mend="Load it without stream, or dequantise it first.",
        )
    model: Any = shape_skeleton(build_empty(model_class, config, dtype=dtype))
    stream = StreamedBlocks(model, folder, dtype=dtype, device=device)
    stream.load_rest(model)
    # A plain attribute: not a module, not a parameter, so no state_dict ever sees it.
    object.__setattr__(model, _ATTRIBUTE, stream)
    model.requires_grad_(False)
    streamed: nn.Module = model.eval()
    return streamed
