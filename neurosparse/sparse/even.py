"""An uneven model padded with zeros, so that every block has the same shapes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError, ModelError
from neurosparse.models.find_sites import find_sites
from neurosparse.models.resize import entries
from neurosparse.models.sites import Part, Site
from neurosparse.models.streaming import build_empty
from neurosparse.sparse.uneven import ENTRY

_WIDTHS = ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size")
_COUNTS = ("num_experts", "num_local_experts")
_BIASES = ("attention_bias", "mlp_bias")


def padded(model: Any, round_to: int) -> tuple[Any, dict[str, Any]]:
    """The model in its stock class, with even shapes, and what its configuration says anew.

    See :func:`neurosparse.sparse.export_even`. The new weights that are no wider than the old ones
    share memory with them.
    """
    if round_to < 1:
        raise InputError("pad", found=f"round_to={round_to}", expected="at least 1")
    dense = copy.deepcopy(model.config)
    for name in (ENTRY, "quantization_config"):
        vars(dense).pop(name, None)
    sites = find_sites(model)
    changed = {**_neurons(model, dense, sites, round_to), **_experts(model, dense)}
    even, changed = _skeleton(model, dense, sites, changed)
    _fill(even, model, sites)
    even.generation_config = getattr(model, "generation_config", None)
    return even.eval(), changed


def _build(model: Any, config: Any) -> Any:
    """The model's class on the meta device; None where the configuration is refused."""
    try:
        checked = type(config).from_dict(config.to_dict())
        return build_empty(type(model), checked, dtype=model.dtype)
    except (ValueError, TypeError, RuntimeError):
        return None


def _changed(config: Any, entries_: dict[str, Any]) -> Any:
    other = copy.deepcopy(config)
    for name, value in entries_.items():
        setattr(other, name, value)
    return other


def _neurons(model: Any, dense: Any, sites: list[Site], round_to: int) -> dict[str, Any]:
    """Widths for the configuration, each the largest of the maps that follow its entry.

    Which maps follow an entry is seen by doubling it.
    """
    plain = {site.name: site.lengths for site in find_sites(_build(model, dense))}
    left = {site.name: site.lengths["neurons"] for site in sites if site.kind == "neurons"}
    found = {}
    for entry in _WIDTHS:
        before = getattr(dense, entry, None)
        if not isinstance(before, int):
            continue
        wider = _build(model, _changed(dense, {entry: 2 * before}))
        follow = [site.name for site in find_sites(wider) if site.kind == "neurons"
                  and site.lengths != plain[site.name]] if wider is not None else []
        if follow:
            most = max(left.pop(name) for name in follow)
            found[entry] = min(-(-most // round_to) * round_to, before)
    if left:
        raise ModelError("pad", found=f"{min(left)}, whose width no known entry of "
                         f"{type(dense).__name__} sets", expected=", ".join(_WIDTHS))
    return found


def _experts(model: Any, dense: Any) -> dict[str, Any]:
    counts = {site.experts for site in find_sites(model) if site.experts is not None}
    if len(counts) > 1:
        raise ModelError("pad", found=f"blocks of {sorted(counts)} experts",
                         expected="as many in every block: an expert cannot be made of zeros")
    return {name: count for name in _COUNTS for count in counts if hasattr(dense, name)}


def _heads(dense: Any, sites: list[Site]) -> Iterator[dict[str, Any]]:
    """Numbers of heads that hold those of all blocks, the smallest first."""
    attention = [site for site in sites if site.kind == "heads"]
    if not attention:
        yield {}
        return
    groups = max(site.lengths["kv_heads"] for site in attention)
    inside = max(site.per_group for site in attention)
    most = getattr(dense, "num_key_value_heads", None) or dense.num_attention_heads
    pairs = [(kv, each) for kv in range(groups, most + 1)
             for each in range(inside, dense.num_attention_heads // most + 1)]
    for kv, each in sorted(pairs, key=lambda pair: (pair[0] * (pair[1] + 2), pair)):
        yield {"num_attention_heads": kv * each, "num_key_value_heads": kv,
               "head_dim": attention[0].head_dim}


def _skeleton(model: Any, dense: Any, sites: list[Site], changed: dict[str, Any]
              ) -> tuple[Any, dict[str, Any]]:
    """The first configuration that the class accepts and that holds all heads."""
    names = set(model.state_dict())
    flags = {name: True for name in _BIASES if getattr(dense, name, None) is False}
    for heads in _heads(dense, sites):
        for bias in ({}, *({name: True} for name in flags), flags):
            told = {**changed, **heads, **bias}
            even = _build(model, _changed(dense, told))
            if even is None:
                continue
            missing = names - set(even.state_dict())
            if not missing:
                return even, {name: value for name, value in told.items()
                              if getattr(dense, name, None) != value}
            if any(not name.endswith(".bias") for name in missing):
                break
    raise ModelError("pad", found=f"a {type(model).__name__} that its class cannot hold",
                     expected="widths and biases that the class can have",
                     mend='Cut it without compensate="bias".')


def _fill(even: nn.Module, model: nn.Module, sites: list[Site]) -> None:
    """Copy the model's weights into the skeleton, zeros where there are none."""
    old, wide = model.state_dict(), {site.name: site for site in find_sites(even)}
    places: dict[str, list[tuple[Part, dict[str, Tensor]]]] = {}
    for site in sites:
        place = _place(site, wide[site.name])
        for part in wide[site.name].parts:
            places.setdefault(part.parameter, []).append((part, place))
    state = {}
    for name, empty in even.state_dict().items():
        known = old.get(name)
        if known is None:  # a bias that the class has only for all of its linears
            reference = old[name.removesuffix("bias") + "weight"]
            state[name] = torch.zeros(empty.shape, dtype=reference.dtype, device=reference.device)
        elif known.shape == empty.shape and name not in places:
            state[name] = known
        else:
            state[name] = torch.zeros(empty.shape, dtype=known.dtype, device=known.device)
            parts = [part for part, _ in places[name]]
            index = entries(parts, places[name][0][1]).to(known.device)
            state[name].index_copy_(parts[0].dim, index, known)
    even.load_state_dict(state, assign=True)
    even.tie_weights()  # type: ignore[operator]


def _place(site: Site, wide: Site) -> dict[str, Tensor]:
    """Where the members of a site stand among those of a wider one."""
    found = {axis: torch.arange(count) for axis, count in site.lengths.items()}
    if site.kind == "heads":
        group, inside = found["heads"] // site.per_group, found["heads"] % site.per_group
        found["heads"] = group * wide.per_group + inside
    return found
