"""Which model a file was made for: a hash of the names and shapes of its parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from torch import nn

NAME_ATTRIBUTE = "_neurosparse_name"


def _name(model: Any) -> str:
    given = getattr(model, NAME_ATTRIBUTE, None) or getattr(
        getattr(model, "config", None), "name_or_path", None
    )
    return str(given or type(model).__name__)


def _packed_shapes(path: str, module: nn.Module) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and dense shapes that a packed module stands for.

    A packed module says so itself with ``dense_shapes()``; a packed linear without it is known by
    its bitmap and its ``out_features`` and ``in_features``.
    """
    module_any: Any = module
    prefix = f"{path}." if path else ""
    if hasattr(module, "dense_shapes"):
        for name, shape in module_any.dense_shapes().items():
            yield prefix + name, tuple(shape)
    elif "bitmap" in module._buffers and hasattr(module, "out_features"):
        yield prefix + "weight", (module_any.out_features, module_any.in_features)


def identity(model: nn.Module) -> dict[str, str]:
    """Name and hash of a model; equal for the dense, the streamed and the packed form.

    Returns
    -------
    dict
        ``{"name": ..., "sha256": ...}``; the hash is of the sorted lines "name shape" of the
        parameters (``model.norm.weight 576``, extents joined by "x"), each tied one once. Values
        and dtypes do not enter, so it works on meta tensors and is the same after pruning.
    """
    # The model's own list of ties: offloading and the meta device break them as objects.
    tied = getattr(model, "all_tied_weights_keys", None) or ()
    shapes = {
        name: tuple(parameter.shape)
        for name, parameter in model.named_parameters()
        if name not in tied
    }
    for path, module in model.named_modules():
        shapes.update(_packed_shapes(path, module))
    lines = sorted(f"{name} {'x'.join(map(str, shape))}\n" for name, shape in shapes.items())
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return {"name": _name(model), "sha256": digest}
