"""Give a site fewer heads, neurons or experts: smaller parameters, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError
from neurosparse.models.sites import Kept, Part, Site

# What modules of transformers call their own widths, by axis.
_NAMES = {
    "heads": ("num_heads", "num_attention_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "neurons": ("intermediate_size", "intermediate_dim", "expert_dim", "ffn_dim"),
    "experts": ("num_experts", "num_local_experts"),
}


class ConfigView:
    """A model's configuration as one module is to see it: with a few entries of its own.

    Phi-3 takes the number of heads from the configuration when it splits ``qkv_proj``. A view, and
    not a copy, because what is set on the configuration later (the attention implementation) must
    still reach the module.
    """

    def __init__(self, config: Any, changed: Mapping[str, Any]) -> None:
        inner, before = config, {}
        if isinstance(config, ConfigView):
            inner, before = vars(config)["_inner"], vars(config)["_changed"]
        vars(self).update(_inner=inner, _changed={**before, **changed})

    def __getattr__(self, name: str) -> Any:
        # Dunders are asked for while a copy is made, before the attributes are there.
        if name.startswith("__") or "_changed" not in vars(self):
            raise AttributeError(name)
        changed = vars(self)["_changed"]
        return changed[name] if name in changed else getattr(vars(self)["_inner"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(vars(self)["_inner"], name, value)


def resize(model: nn.Module, site: Site, kept: Kept) -> None:
    """Keep some members of a site and drop the rest, in place; works on meta tensors.

    Parameters
    ----------
    kept
        Indices for every axis of the site, in increasing order.

    Raises
    ------
    InputError
        An axis is missing, nothing is kept of it, an index does not exist or comes twice, or heads
        are not the same number in every group.
    """
    check_kept(site, kept)
    by_dim: dict[tuple[str, int], list[Part]] = {}
    for part in site.parts:
        by_dim.setdefault((part.parameter, part.dim), []).append(part)
    for (name, dim), parts in by_dim.items():
        path, _, leaf = name.rpartition(".")
        module = model.get_submodule(path)
        old = module.get_parameter(leaf)
        new = select(old.data, dim, entries(parts, kept))
        module._parameters[leaf] = nn.Parameter(new, requires_grad=old.requires_grad)
        if isinstance(module, nn.Linear) and leaf == "weight":
            module.out_features, module.in_features = new.shape
    lengths = {axis: index.shape[-1] for axis, index in kept.items()}
    _tell(model.get_submodule(site.name), lengths)
    if site.router is not None:
        _tell(model.get_submodule(site.router), lengths)
        _tell(model.get_submodule(site.name.rpartition(".")[0]), lengths)


def entries(parts: list[Part], kept: Kept) -> Tensor:
    """Entries along one dimension that kept members own, int64 of shape (entries,), or (experts,
    entries) where every expert keeps others.
    """
    found = []
    for part in sorted(parts, key=lambda part: part.offset):
        index = kept[part.axis]
        inside = torch.arange(part.width, device=index.device)
        found.append((part.offset + index[..., None] * part.width + inside).flatten(-2))
    return torch.cat(found, -1)


def select(tensor: Tensor, dim: int, index: Tensor) -> Tensor:
    """Entries ``index`` along ``dim``; an index of shape (experts, kept) is per first dimension."""
    where = index.to(tensor.device)
    if where.dim() == 1:
        return tensor.index_select(dim, where)
    shape = [len(tensor)] + [1] * (tensor.dim() - 1)
    shape[dim] = where.shape[1]
    wide = list(tensor.shape)
    wide[dim] = where.shape[1]
    return tensor.gather(dim, where.view(shape).expand(wide))


def add_bias(model: nn.Module, name: str) -> Tensor:
    """The bias of a linear, made of zeros where it has none; a view."""
    linear = model.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    if linear._parameters.get("bias") is None:
        weight = linear.weight
        zeros = torch.zeros(len(weight), dtype=weight.dtype, device=weight.device)
        linear.bias = nn.Parameter(zeros, requires_grad=weight.requires_grad)
    return linear.bias.data


def check_kept(site: Site, kept: Kept) -> None:
    """Refuse indices that do not fit a site.

    Raises
    ------
    InputError
        As :func:`resize`.
    """
    if set(kept) != set(site.lengths):
        raise _wrong(site, f"indices of {sorted(kept)}", f"indices of {sorted(site.lengths)}")
    for axis, index in kept.items():
        count = site.lengths[axis]
        rows = index if index.dim() == 2 else index[None]
        leading = () if site.experts is None else (site.experts,)
        if tuple(index.shape[:-1]) != leading or rows.shape[1] < 1:
            raise _wrong(site, f"{axis} of shape {tuple(index.shape)}", "at least one to keep")
        if index.is_meta:
            continue
        if bool((rows.diff(dim=1) <= 0).any()) or int(rows.min()) < 0 or int(rows.max()) >= count:
            raise _wrong(site, f"{axis} {rows[0].tolist()[:8]}", f"increasing, 0 to {count - 1}")
    if site.kind == "heads" and not kept["heads"].is_meta:
        group = torch.bincount(kept["heads"] // site.per_group, minlength=site.lengths["kv_heads"])
        inside = group[kept["kv_heads"]]
        if int(group.sum()) != int(inside.sum()) or int(inside.min()) != int(inside.max()):
            raise _wrong(site, f"query heads {group.tolist()} by group",
                         "equally many in every group that stays")


def _wrong(site: Site, found: str, expected: str) -> InputError:
    return InputError(f"cut {site.name}", found=found, expected=expected)


def _tell(module: nn.Module, lengths: Mapping[str, int]) -> None:
    """Set the widths that a module remembers to the new ones."""
    for axis, count in lengths.items():
        for name in _NAMES[axis]:
            if isinstance(vars(module).get(name), int):
                setattr(module, name, count)
    if "heads" not in lengths:
        return
    if "num_key_value_groups" in vars(module):
        module.num_key_value_groups = lengths["heads"] // lengths["kv_heads"]  # type: ignore[assignment]
    if "qkv_proj" in module._modules and hasattr(module, "config"):
        changed = {"num_attention_heads": lengths["heads"],
                   "num_key_value_heads": lengths["kv_heads"]}
        module.config = ConfigView(module.config, changed)  # type: ignore[assignment]
