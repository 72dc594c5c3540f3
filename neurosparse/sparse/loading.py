"""Load a packed model, and teach transformers to."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from neurosparse.errors import FormatError, InputError, NeurosparseError
from neurosparse.files import read_json
from neurosparse.models.loading import check_dtype
from neurosparse.models.quiet import quiet
from neurosparse.sparse.bitmask import convert_bitmask, is_bitmask
from neurosparse.sparse.description import METHOD, read_description
from neurosparse.sparse.reading import can_read, read_model
from neurosparse.sparse.writer import INDEX


def register() -> None:
    """Make ``AutoModelForCausalLM.from_pretrained`` load packed models (quantizer "neurosparse")
    and models whose blocks differ in width (``prune_structured``; quantizer "neurosparse-uneven").

    Calling it again does nothing. Loaded models ``generate``, move with ``.to(device)``, compile,
    and are written again by ``save_pretrained``: packed values as they are, all else in the dtype
    that the model has then (``dtype="auto"`` loads it as it is stored).
    """
    from transformers.quantizers.auto import (
        AUTO_QUANTIZER_MAPPING,
        register_quantization_config,
        register_quantizer,
    )

    from neurosparse.sparse.quantizer import NeurosparseConfig, NeurosparseQuantizer
    from neurosparse.sparse.uneven import UNEVEN
    from neurosparse.sparse.uneven_quantizer import UnevenConfig, UnevenQuantizer

    if METHOD not in AUTO_QUANTIZER_MAPPING:
        register_quantization_config(METHOD)(NeurosparseConfig)
        register_quantizer(METHOD)(NeurosparseQuantizer)
        register_quantization_config(UNEVEN)(UnevenConfig)
        register_quantizer(UNEVEN)(UnevenQuantizer)


def load(folder: str | Path, *, dtype: str | torch.dtype = "float32",
         device: str | torch.device = "cpu", meanwhile: Callable[[], object] = lambda: None) -> Any:
    """Load a packed model; the dense model never exists in memory.

    Parameters
    ----------
    folder
        What ``save``, ``CheckpointWriter`` or ``save_pretrained`` of a loaded model wrote; or a
        ``sparse-bitmask`` checkpoint of compressed-tensors, which is then written once as a packed
        folder below the temporary directory and removed (``convert_bitmask`` keeps it).
    dtype
        Of the activations and of all parameters that are not packed: ``"float32"``,
        ``"bfloat16"``, ``"float16"``, or ``"auto"`` for as they are stored. Packed values stay as
        they are stored.
    device
        Where the model goes.
    meanwhile
        Work of the caller, called once while threads still check hashes and put matrices into the
        order of the kernels: reading the tokenizer, say.

    Returns
    -------
    model of transformers
        In eval mode, without gradients. A parameter's ``requires_grad_`` brings back its own: of
        what is not packed, and not a vocabulary in whole numbers.

    Raises
    ------
    InputError
        No such folder, or an unknown dtype.
    FormatError
        Not a packed model, an unknown version or kind of values, a file that is missing,
        truncated or changed, tensors that do not fit the model.
    """
    name = str(dtype).removeprefix("torch.")
    check_dtype("load", name)
    source = Path(folder)
    if not source.is_dir():
        raise InputError(f"load {source}", found="no such folder", expected="a packed model")
    if is_bitmask(source):
        with tempfile.TemporaryDirectory(prefix="neurosparse-") as beside:
            convert_bitmask(source, Path(beside) / "packed")
            # What is mapped stays readable without its name.
            model = load(Path(beside) / "packed", dtype=dtype, device=device, meanwhile=meanwhile)
        model.config._name_or_path = model.name_or_path = str(source)
        return model
    description = read_description(source)
    files = _weights(source)
    register()
    target = torch.device(device)
    # What transformers would warn of is an error of ours, below.
    with _uncollected(), quiet(), _translated(source):
        model_class = _model_class(source)
        if target.type == "cpu" and _reads_alone(source, model_class):
            model, found = read_model(source, files, model_class, dtype=name,
                                      hashes=description.get("sha256"), meanwhile=meanwhile)
        else:
            model, found = model_class.from_pretrained(
                source, dtype=name, local_files_only=True, use_safetensors=True,
                output_loading_info=True, ignore_mismatched_sizes=True,
                device_map=None if target.type == "cpu" else {"": target},
            )
            meanwhile()
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found[what]:
            first = sorted(map(str, found[what]))[0]
            raise FormatError(f"load {source}", found=f"{what.replace('_', ' ')}: {first} and "
                              f"{len(found[what]) - 1} more", expected="the model's own tensors")
    return model.requires_grad_(False)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No pass of the garbage collector: what is made here stays, and a pass over all objects of
    torch and transformers takes as long as reading a small model.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """What transformers and safetensors say of files that are wrong, as an error of ours."""
    try:
        yield
    except NeurosparseError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError,
            SafetensorError, StrictDataclassError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        text = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise FormatError(f"load {folder}", found=f"{type(error).__name__}: {text.strip()}",
                          expected="a configuration and weights that transformers can load",
                          mend="The files were changed or cut: copy them again.") from error


def _weights(folder: Path) -> list[Path]:
    """The files of weights, which are all there."""
    index = folder / INDEX
    names = ["model.safetensors"]
    if index.is_file():
        found = read_json(index)
        mapping = found.get("weight_map") if isinstance(found, dict) else None
        if not isinstance(mapping, dict) or not mapping:
            raise FormatError(f"read {index}", found="no weight_map", expected="an index of shards")
        names = sorted(set(map(str, mapping.values())))
    for name in names:
        if not (folder / name).is_file():
            raise FormatError(f"load {folder}", found=f"no {name}",
                              expected=f"{len(names)} file(s) of weights")
    return [folder / name for name in names]


def _reads_alone(folder: Path, model_class: Any) -> bool:
    """Whether nothing is left for ``from_pretrained``: no adapter in the folder, known steps."""
    return can_read(model_class) and not (folder / "adapter_config.json").exists()


def _model_class(folder: Path) -> Any:
    import transformers

    for name in read_json(folder / "config.json").get("architectures") or []:
        found = getattr(transformers, str(name), None)
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found
    return transformers.AutoModelForCausalLM
