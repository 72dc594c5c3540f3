"""Find the blocks of a language model, or of an image classifier, of any architecture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from neurosparse.errors import ModelError
from neurosparse.models.linears import holds_weights
from neurosparse.models.modality import reads_images

_NOT_TEXT = ("audio", "image", "speech", "vision", "visual", "vit")


@dataclass(frozen=True)
class Blocks:
    """The decoder blocks of a model, in order.

    Parameters
    ----------
    prefix
        Module path of their list: ``"model.layers"``.
    names
        Module path of each: ``"model.layers.0"``.
    modules
        The modules themselves.
    """

    prefix: str
    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, nn.Module]]:
        return iter(zip(self.names, self.modules, strict=True))


def _error(model: nn.Module, found: str) -> ModelError:
    return ModelError(
        "find the decoder blocks",
        found=f"{found} in {type(model).__name__}",
        expected="a language model with a list of decoder blocks that hold linear maps",
    )


def _decoder(model: nn.Module) -> tuple[str, nn.Module]:
    """The part of the model that decodes text, with its module path.

    transformers knows it best: in a vision-language model it is the language model alone.
    """
    getter = getattr(model, "get_decoder", None)
    if getter is None:
        return "", model
    try:
        decoder = getter()
    except (AttributeError, NotImplementedError):
        return "", model
    for name, module in model.named_modules():
        if module is decoder:
            return name, module
    return "", model


def _layer_count(model: nn.Module) -> int | None:
    """How many decoder blocks the configuration promises, where it says so."""
    config = getattr(model, "config", None)
    if config is None:
        return None
    try:
        text = config.get_text_config(decoder=True)
    except (AttributeError, ValueError):
        text = config
    count = getattr(text, "num_hidden_layers", None)
    return count if isinstance(count, int) else None


def _candidates(root: nn.Module, prefix: str) -> list[tuple[str, nn.ModuleList]]:
    """Outermost lists of modules that all hold linear maps."""
    found: list[tuple[str, nn.ModuleList]] = []
    for name, module in root.named_modules(prefix=prefix):
        if not isinstance(module, nn.ModuleList) or len(module) == 0:
            continue
        if any(name.startswith(outer + ".") for outer, _ in found):
            continue
        if all(holds_weights(child) for child in module):
            found.append((name, module))
    return found


def find_blocks(model: nn.Module) -> Blocks:
    """Find the decoder blocks of a model.

    The blocks are the outermost list of modules below the text decoder whose members all hold
    linear maps; among several, the one of the length that the configuration names, and then the
    one with most parameters. Vision and audio towers lie outside the decoder.

    Parameters
    ----------
    model
        Any causal language model of transformers, or a model built like one; or one that reads
        images alone (ViT: its layers; ConvNeXt: its stages).

    Returns
    -------
    Blocks
        Names and modules in order.

    Raises
    ------
    ModelError
        The model has no decoder blocks (a vision model, a plain network).
    """
    embeddings = getattr(model, "get_input_embeddings", None)
    if embeddings is not None:
        try:
            first = embeddings()
        except (AttributeError, NotImplementedError):
            first = None
        if not isinstance(first, nn.Embedding) and not reads_images(model):
            raise _error(model, "no token embedding")
    prefix, root = _decoder(model)
    candidates = _candidates(root, prefix)
    if not prefix:
        text = [
            (name, module)
            for name, module in candidates
            if not any(word in name.lower() for word in _NOT_TEXT)
        ]
        candidates = text
    if not candidates:
        raise _error(model, "no list of blocks")
    count = _layer_count(model)
    right = [pair for pair in candidates if len(pair[1]) == count]
    name, blocks = max(
        right or candidates, key=lambda pair: sum(p.numel() for p in pair[1].parameters())
    )
    return Blocks(
        prefix=name,
        names=tuple(f"{name}.{index}" for index in range(len(blocks))),
        modules=tuple(blocks),
    )


def block_of(model: nn.Module, name: str) -> tuple[str, int]:
    """The block that a module path lies in: its name and index.

    Raises
    ------
    ModelError
        The path lies in no decoder block.
    """
    blocks = find_blocks(model)
    for index, block in enumerate(blocks.names):
        if name == block or name.startswith(block + "."):
            return block, index
    raise _error(model, f"{name} in no block")
