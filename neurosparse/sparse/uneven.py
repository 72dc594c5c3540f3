"""Widths that differ from block to block, in a model's configuration.

``config.json`` of a cut model has two further entries::

    "neurosparse_widths": {"version": 1,
                           "blocks": [{"self_attn": {"heads": 6, "kv_heads": 2},
                                       "mlp": {"neurons": 1024}}, ...],
                           "bias": ["model.layers.0.self_attn.o_proj", ...]}
    "quantization_config": {"quant_method": "neurosparse-uneven", "version": 1}

The first says everything; the second only makes ``from_pretrained`` ask :func:`register` for help
(of a model that is packed as well it is the packing's own). ``bias`` lists linears that the
model's class builds without a bias.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from neurosparse.errors import FormatError
from neurosparse.models.blocks import find_blocks
from neurosparse.models.find_sites import find_sites
from neurosparse.models.resize import add_bias, resize
from neurosparse.models.sites import Site

ENTRY = "neurosparse_widths"
UNEVEN = "neurosparse-uneven"
VERSION = 1


def widths(model: nn.Module) -> list[dict[str, dict[str, int]]]:
    """Members of every axis of every site, one dict a block, by the site's path in its block."""
    blocks = find_blocks(model)
    found: list[dict[str, dict[str, int]]] = [{} for _ in blocks.names]
    for site in _sites(model):
        path = site.name[len(blocks.names[site.block]) + 1:]
        found[site.block].setdefault(path, {}).update(site.lengths)
    return found


def tell_widths(model: nn.Module, *, bias: Iterable[str] = ()) -> None:
    """Write a cut model's widths into its configuration, so that ``save_pretrained`` keeps them.

    Parameters
    ----------
    model
        Of transformers.
    bias
        Linears that were given a bias, beside those already told.
    """
    config: Any = model.config
    before = getattr(config, ENTRY, None) or {}
    told = sorted({*before.get("bias", ()), *bias})
    setattr(config, ENTRY, {"version": VERSION, "blocks": widths(model), "bias": told})
    if getattr(config, "quantization_config", None) is None:
        config.quantization_config = {"quant_method": UNEVEN, "version": VERSION}


def is_uneven(model: nn.Module) -> bool:
    """Whether the model's configuration tells widths."""
    return getattr(getattr(model, "config", None), ENTRY, None) is not None


def apply_widths(model: nn.Module) -> None:
    """Give a model as its class builds it the widths that its configuration tells, in place.

    Nothing is done where it tells none. Meant for the meta device: which weights stay is not said.

    Raises
    ------
    FormatError
        An unknown version, blocks or sites that the model does not have, or a width that is not
        between 1 and the model's.
    """
    told = getattr(model.config, ENTRY, None)
    if told is None:
        return
    blocks = find_blocks(model)
    _check_form(told, len(blocks))
    unknown = {(index, path) for index, block in enumerate(told["blocks"]) for path in block}
    for site in _sites(model):
        path = site.name[len(blocks.names[site.block]) + 1:]
        unknown.discard((site.block, path))
        _shrink(model, site, told["blocks"][site.block].get(path), path)
    if unknown:
        raise _wrong(f"widths for {min(unknown)[1]!r} of block {min(unknown)[0]}",
                     "attention and feed-forward maps of the model")
    known = {name for name, _ in model.named_modules()}
    for name in told["bias"]:
        if name not in known or not isinstance(model.get_submodule(name), nn.Linear):
            raise _wrong(f"a bias for {name!r}", "names of linears")
        add_bias(model, name)


def _sites(model: nn.Module) -> list[Site]:
    """Heads, neurons and, of mixtures, experts too."""
    neurons = find_sites(model)
    if all(site.experts is None for site in neurons):
        return neurons
    try:
        return neurons + [site for site in find_sites(model, experts=True)
                          if site.kind == "experts"]
    except ValueError:  # its router is not understood, so its experts are never cut
        return neurons


def _shrink(model: nn.Module, site: Site, told: Any, path: str) -> None:
    if not isinstance(told, dict):
        raise _wrong(f"no widths for {path} of block {site.block}", "an object for every site")
    kept = {}
    for axis, count in site.lengths.items():
        width = told.get(axis)
        if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= count:
            raise _wrong(f"{axis}={width!r} for {site.name}", f"a whole number from 1 to {count}")
        kept[axis] = torch.arange(width, device="meta")
        if site.experts is not None:
            kept[axis] = kept[axis].expand(site.experts, width)
    if "heads" in kept and len(kept["heads"]) % len(kept["kv_heads"]):
        raise _wrong(f"{told} for {site.name}", "equally many heads in every group")
    if any(index.shape[-1] < site.lengths[axis] for axis, index in kept.items()):
        resize(model, site, kept)


def _check_form(told: Any, count: int) -> None:
    if not isinstance(told, dict) or set(told) != {"version", "blocks", "bias"}:
        raise _wrong(f"{ENTRY} {told!r:.60}", "an object with version, blocks and bias")
    if told["version"] != VERSION:
        raise _wrong(f"version {told['version']!r}", f"version {VERSION}")
    blocks, bias = told["blocks"], told["bias"]
    if not isinstance(blocks, list) or len(blocks) != count \
            or not all(isinstance(block, dict) for block in blocks):
        raise _wrong("other blocks", f"a list of {count} objects")
    if not isinstance(bias, list) or not all(isinstance(name, str) for name in bias):
        raise _wrong(f"bias={bias!r:.60}", "a list of names")


def _wrong(found: str, expected: str) -> FormatError:
    return FormatError("read the widths in config.json", found=found, expected=expected)
