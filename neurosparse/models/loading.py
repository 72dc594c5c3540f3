"""Load a model and its tokenizer."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from neurosparse.errors import FormatError, InputError, ModelError, NeurosparseError
from neurosparse.models.gguf_reading import read_once
from neurosparse.models.identity import NAME_ATTRIBUTE
from neurosparse.models.quiet import quiet
from neurosparse.models.source import ModelSource, resolve
from neurosparse.models.streaming import build_empty, build_streamed
from neurosparse.models.widths import prepare_for, shape_skeleton

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass
class LoadedModel:
    """A model ready for work.

    Parameters
    ----------
    model
        In eval mode; no parameter requires a gradient.
    tokenizer
        Or None where the folder holds none.
    source
        Where it came from.
    """

    model: nn.Module
    tokenizer: Any
    source: ModelSource


def load(
    name: str | Path,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    device_map: Any = None,
    stream: bool = False,
) -> LoadedModel:
    """Load a causal language model (the language part of a vision-language model included), one
    whose blocks ``prune --structured`` cut to different widths too.

    Parameters
    ----------
    name
        As for :func:`resolve`.
    dtype
        ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"`` (as stored; float32 for GGUF).
    device
        Where the model goes.
    device_map
        Handed to accelerate in place of ``device``: ``"auto"``, or a dictionary.
    stream
        Leave the weights of the decoder blocks in the safetensors files; ``BlockWalk`` brings
        them in one block at a time. Needs a folder or a hub id.

    Raises
    ------
    InputError
        As for :func:`resolve`; an unknown dtype or device; ``stream`` with a GGUF file or a
        device map.
    FormatError
        A file is damaged, or weights are missing from it.
    ModelError
        The architecture is unknown, or a device map would put weights on disk.
    """
    operation = f"load {name}"
    check_dtype(operation, dtype)
    where = find_device(operation, device)
    source = resolve(name)
    if stream and (source.gguf_file is not None or device_map is not None):
        raise InputError(
            operation, found="stream=True with "
            + ("a GGUF file" if source.gguf_file is not None else "a device_map"),
            expected="a folder of safetensors and a single device",
            mend="Save the model as a folder first, or leave stream out."
            if source.gguf_file is not None else "Leave one of the two out.",
        )
    kind = _torch_dtype(dtype, source)
    with _calm(source):
        config = _config(source)
        _refuse_packed(source, config)
        prepare_for(config)
        model_class = _model_class(source, config)
        if stream:
            model = build_streamed(
                model_class, config, source.path, dtype=kind, device=where
            )
        else:
            model = _from_pretrained(model_class, config, source, kind, device_map)
        tokenizer = _tokenizer(source)
    if device_map is None and not stream:
        model.to(where)
    model.requires_grad_(False)
    object.__setattr__(model, NAME_ATTRIBUTE, source.name)
    return LoadedModel(model.eval(), tokenizer, source)


def load_empty(name: str | Path) -> nn.Module:
    """The model's architecture alone, from its configuration: every parameter on the meta device.

    Enough to find blocks and targets, count parameters and compute the identity.

    Raises
    ------
    NeurosparseError
        As for :func:`load`.
    """
    source = resolve(name)
    with _calm(source):
        config = _config(source)
        model_class = _model_class(source, config)
        model: Any = shape_skeleton(build_empty(model_class, config, dtype=torch.float32))
        model.tie_weights()
    model.requires_grad_(False)
    object.__setattr__(model, NAME_ATTRIBUTE, source.name)
    empty: nn.Module = model.eval()
    return empty


def load_tokenizer(name: str | Path) -> Any:
    """The tokenizer of a model, or None where its folder holds none.

    Raises
    ------
    NeurosparseError
        As for :func:`resolve`; FormatError if the tokenizer's files cannot be read.
    """
    source = resolve(name)
    with _calm(source):
        return _tokenizer(source)


@contextlib.contextmanager
def _calm(source: ModelSource) -> Iterator[None]:
    with quiet(), read_once() if source.gguf_file else contextlib.nullcontext():
        yield


def _refuse_packed(source: ModelSource, config: Any) -> None:
    packing = getattr(config, "quantization_config", None)
    method = packing.get("quant_method") if isinstance(packing, dict) else None
    older = getattr(config, "compression_config", None)
    places = [vars(config), *(found for found in (packing, older) if isinstance(found, dict))]
    sparsity = next((found["sparsity_config"] for found in places if "sparsity_config" in found),
                    None)
    bitmask = isinstance(sparsity, dict) and sparsity.get("format") == "sparse-bitmask"
    if method == "neurosparse" or bitmask:
        kind = "a sparse-bitmask checkpoint" if bitmask else "a model packed by neurosparse"
        raise ModelError(
            f"load {source.name}", found=kind, expected="a dense model",
            mend=f"Load it with neurosparse.sparse.load({str(source.path)!r}).",
        )


def find_device(operation: str, device: str) -> torch.device:
    """The device of a name.

    Raises
    ------
    InputError
        This machine has none of that name.
    """
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            operation, found=f"device={device!r}", expected="a device that this machine has"
        ) from error
    return where


def check_dtype(operation: str, dtype: str) -> None:
    """Refuse a dtype that models are not loaded in.

    Raises
    ------
    InputError
        It is none of float32, bfloat16, float16 and auto.
    """
    if dtype not in (*_DTYPES, "auto"):
        raise InputError(operation, found=f"dtype={dtype!r}",
                         expected=", ".join([*sorted(_DTYPES), "auto"]))


def _torch_dtype(dtype: str, source: ModelSource) -> torch.dtype:
    if dtype != "auto":
        return _DTYPES[dtype]
    return _DTYPES.get(source.description.rpartition(" ")[2], torch.float32)


def _config(source: ModelSource) -> Any:
    from transformers import AutoConfig

    extra = {"gguf_file": source.gguf_file} if source.gguf_file else {}
    try:
        return AutoConfig.from_pretrained(
            str(source.path), local_files_only=True, trust_remote_code=False, **extra
        )
    except (ValueError, KeyError, OSError, TypeError, AttributeError, RuntimeError,
            StrictDataclassError) as error:
        raise ModelError(
            f"load {source.name}", found=_first_line(error),
            expected="an architecture that transformers knows (custom code is never run)",
        ) from error


def _model_class(source: ModelSource, config: Any) -> Any:
    """The class of the whole model with its head, from transformers' own tables."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    for auto in (AutoModelForCausalLM, AutoModelForImageTextToText):
        found = auto._model_mapping.get(type(config), None)
        if found is not None:
            choices = found if isinstance(found, tuple) else (found,)
            wanted = config.architectures or []
            return next((c for c in choices if getattr(c, "__name__", "") in wanted), choices[0])
    raise ModelError(
        f"load {source.name}", found=f"a model of type {config.model_type!r}",
        expected="a causal language model, or a vision-language model with one inside",
    )


def _from_pretrained(
    model_class: Any, config: Any, source: ModelSource, dtype: torch.dtype, device_map: Any
) -> nn.Module:
    if _names_disk(device_map):
        raise _on_disk(source)
    options: dict[str, Any] = {"dtype": dtype, "output_loading_info": True}
    if device_map is not None:
        options["device_map"] = device_map
    if source.gguf_file is not None:
        from transformers import GgufConfig

        # Dense weights: pruning changes single entries, which quantised blocks cannot hold.
        options.update(gguf_file=source.gguf_file, quantization_config=GgufConfig(dequantize=True))
    else:
        options.update(use_safetensors=True)
    try:
        model, info = model_class.from_pretrained(
            str(source.path), config=config, local_files_only=True, **options
        )
    except NeurosparseError:  # of the widths of a cut model
        raise
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        if _out_of_memory(error):
            raise ModelError(
                f"load {source.name}", found="too little memory", expected="room for the model",
                mend="Use stream=True (a folder's blocks come from disk one at a time) or a "
                "narrower dtype.",
            ) from error
        raise FormatError(
            f"load {source.name}", found=_first_line(error),
            expected="weights that fit the configuration",
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        # transformers would go on with random numbers in their place.
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FormatError(
            f"load {source.name}", found=f"no weights for {missing[0]}{more}",
            expected="a weight for every parameter",
            mend="The checkpoint is incomplete, or config.json is of another model.",
        )
    if _names_disk(getattr(model, "hf_device_map", None)):
        raise _on_disk(source)
    if source.gguf_file is not None:
        forget_quantisation(model)
    dense: nn.Module = model
    return dense


def _out_of_memory(error: BaseException) -> bool:
    """Whether torch, the allocator or the operating system ran out of memory."""
    return (
        isinstance(error, (MemoryError, torch.OutOfMemoryError))
        or getattr(error, "errno", None) == errno.ENOMEM
        or "Cannot allocate memory" in str(error)
        or "can't allocate memory" in str(error)
    )


def forget_quantisation(model: Any) -> None:
    """The weights are dense now; a configuration that says otherwise breaks saving and loading."""
    for holder in (model.config, model):
        for name in ("quantization_config", "hf_quantizer", "quantization_method"):
            if name in vars(holder):
                delattr(holder, name)
    for name in ("is_quantized", "_is_quantized"):
        if name in vars(model):
            setattr(model, name, False)


def _names_disk(device_map: Any) -> bool:
    places = device_map.values() if isinstance(device_map, dict) else [device_map]
    return any(str(place) == "disk" for place in places)


def _on_disk(source: ModelSource) -> ModelError:
    return ModelError(
        f"load {source.name}", found="a device map that puts weights on disk",
        expected="weights in memory",
        mend="Use stream=True, which brings blocks in from disk one at a time.",
    )


def _tokenizer(source: ModelSource) -> Any:
    from transformers import AutoTokenizer

    extra = {"gguf_file": source.gguf_file} if source.gguf_file else {}
    if not extra and not any((source.path / name).is_file() for name in _TOKENIZER_FILES):
        return None
    try:
        return AutoTokenizer.from_pretrained(
            str(source.path), local_files_only=True, trust_remote_code=False, **extra
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"load the tokenizer of {source.name}", found=_first_line(error),
            expected="tokenizer files that transformers can read",
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
