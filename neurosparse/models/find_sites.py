"""Find the places where the blocks of a model can be made narrower.

Structure is read from the modules (which projections there are, and their shapes), never from an
architecture's name; what does not fit exactly is refused, because a cut that is nearly right
gives a model that runs and is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from neurosparse.errors import ModelError
from neurosparse.models.blocks import Blocks, find_blocks
from neurosparse.models.linears import ROUTERS, fused_experts, is_linear
from neurosparse.models.sites import Part, Site
from neurosparse.models.targets import find_targets

_QKV = ("q_proj", "k_proj", "v_proj")


def find_sites(model: nn.Module, *, experts: bool = False, blocks: Blocks | None = None
               ) -> list[Site]:
    """Attention heads and neurons of every decoder block, in order.

    Understood are attention with ``q_proj``, ``k_proj``, ``v_proj`` (or ``qkv_proj``) and
    ``o_proj``, with or without grouped queries, norms of a head and sinks; feed-forward maps with
    ``up_proj`` (or ``gate_up_proj``) and ``down_proj``; and fused experts. Works on meta tensors.

    Parameters
    ----------
    model
        A causal language model.
    experts
        Of mixtures, whole experts in place of neurons inside the experts.
    blocks
        The blocks, where they have been found before.

    Raises
    ------
    ModelError
        A block has a linear map that belongs to none of these, or one with further parameters.
    """
    found = blocks if blocks is not None else find_blocks(model)
    sites = [site for index, (name, block) in enumerate(found)
             for site in _of_block(name, block, index, experts)]
    covered = {part.parameter for site in sites for part in site.parts}
    for target in find_targets(model, blocks=found):
        path = f"{target.module_name}.{target.parameter}"
        if path not in covered:
            raise ModelError(
                "find heads and neurons", found=f"{target.name} in a "
                f"{type(found.modules[target.block]).__name__}",
                expected="attention with q_proj, k_proj, v_proj (or qkv_proj) and o_proj, and "
                         "feed-forward maps with up_proj (or gate_up_proj) and down_proj",
                mend="It can be pruned without structure: neurosparse.pruning.prune.")
    return sites


def _of_block(name: str, block: nn.Module, index: int, experts: bool) -> Iterator[Site]:
    for path, module in block.named_modules(prefix=name):
        if is_linear(getattr(module, "o_proj", nn.Identity())):
            site = _attention(path, module, index)
            if site is not None:
                yield site
        elif fused_experts(module) is not None:
            yield (_whole_experts(path, module, block.get_submodule(
                path.rpartition(".")[0][len(name) + 1:]), index) if experts
                else _expert_neurons(path, module, index))
        elif is_linear(getattr(module, "down_proj", nn.Identity())):
            yield _feed_forward(path, module, index)


def _attention(path: str, module: nn.Module, index: int) -> Site | None:
    """The heads of an attention; None where its projections have other names."""
    dim, out = getattr(module, "head_dim", None), _shape(module, "o_proj")
    if not isinstance(dim, int) or out is None or out[1] % dim:
        return None
    heads = out[1] // dim
    fused, plain = _shape(module, "qkv_proj"), [_shape(module, name) for name in _QKV]
    if fused is not None:
        kv = (fused[0] // dim - heads) // 2
        rows = [("qkv_proj", "heads", 0), ("qkv_proj", "kv_heads", heads * dim),
                ("qkv_proj", "kv_heads", (heads + kv) * dim)]
        good = fused[0] == (heads + 2 * kv) * dim
    elif all(plain) and plain[0] is not None and plain[1] is not None:
        kv = plain[1][0] // dim
        rows = [("q_proj", "heads", 0), ("k_proj", "kv_heads", 0), ("v_proj", "kv_heads", 0)]
        good = plain[0][0] == heads * dim and plain[1] == plain[2] and plain[1][0] == kv * dim
    else:
        return None
    if not good or kv < 1 or heads % kv:
        raise _odd(path, module, f"projections of {[*plain, fused]} with heads of {dim}")
    parts = [Part(f"{path}.{role}.{leaf}", 0, axis, offset, dim)
             for role, axis, offset in rows for leaf in _leaves(module, role)]
    parts.append(Part(f"{path}.o_proj.weight", 1, "heads", 0, dim))
    # What belongs to all heads alike (norms of a head) stays; GPT-OSS has one sink for each.
    others: dict[str, tuple[int, ...]] = {"o_proj.bias": (out[0],)}
    if isinstance(module._parameters.get("sinks"), nn.Parameter):
        parts.append(Part(f"{path}.sinks", 0, "heads", 0, 1))
    for name, parameter in module.named_parameters():
        if name.endswith("_norm.weight") and tuple(parameter.shape) == (dim,):
            others[name] = (dim,)
    _check_all(path, module, parts, others)
    return Site(path, index, "heads", {"heads": heads, "kv_heads": kv}, tuple(parts),
                f"{path}.o_proj", head_dim=dim)


def _feed_forward(path: str, module: nn.Module, index: int) -> Site:
    down = _shape(module, "down_proj")
    assert down is not None
    width = down[1]
    rows = [("gate_up_proj", 0), ("gate_up_proj", width)]
    if _shape(module, "gate_up_proj") is None:
        rows = [(role, 0) for role in ("gate_proj", "up_proj") if _shape(module, role) is not None]
    parts = [Part(f"{path}.{role}.{leaf}", 0, "neurons", offset, width=1)
             for role, offset in rows for leaf in _leaves(module, role)]
    parts.append(Part(f"{path}.down_proj.weight", 1, "neurons", 0, 1))
    _check_all(path, module, parts, {"down_proj.bias": (down[0],)})
    for role in {role for role, _ in rows}:
        shape, count = _shape(module, role), sum(other == role for other, _ in rows)
        if shape is None or shape[0] != count * width:
            raise _odd(path, module, f"{role} of {shape} before a down_proj of {down}")
    return Site(path, index, "neurons", {"neurons": width}, tuple(parts), f"{path}.down_proj")


def _expert_neurons(path: str, module: nn.Module, index: int) -> Site:
    layout = fused_experts(module)
    assert layout is not None
    inner = 1 if layout.transposed else 2
    width = int(module.get_parameter(layout.down).shape[inner])
    # (offset, width) of gate and up: one after the other, or turn about.
    halves = [(0, 1)]
    if layout.up == "gate_up_proj":
        halves = [(0, 1), (width, 1)] if getattr(module, "is_concatenated", True) else [(0, 2)]
    parts = [Part(f"{path}.{layout.up}", 3 - inner, "neurons", offset, size)
             for offset, size in halves]
    parts.append(Part(f"{path}.{layout.down}", inner, "neurons", 0, 1))
    bias = f"{layout.up}_bias"
    if module._parameters.get(bias) is not None:
        parts += [Part(f"{path}.{bias}", 1, "neurons", offset, size) for offset, size in halves]
    shared = module._parameters.get(f"{layout.down}_bias")
    _check_all(path, module, parts,
               {} if shared is None else {f"{layout.down}_bias": tuple(shared.shape)})
    return Site(path, index, "neurons", {"neurons": width}, tuple(parts), f"{path}.{layout.down}",
                experts=layout.count)


def _whole_experts(path: str, module: nn.Module, parent: nn.Module, index: int) -> Site:
    layout = fused_experts(module)
    assert layout is not None
    parts = [Part(f"{path}.{name}", 0, "experts", 0, 1) for name, _ in module.named_parameters()]
    outer = path.rpartition(".")[0]
    routers = [name for name, child in parent.named_children() if name in ROUTERS
               and child._parameters.get("weight") is not None
               and child.get_parameter("weight").shape[0] == layout.count
               and hasattr(child, "top_k")]
    if len(routers) != 1:
        raise _odd(path, module, f"{len(routers)} routers with {layout.count} rows and a top_k")
    router = parent.get_submodule(routers[0])
    for name, value in (*router.named_parameters(), *router.named_buffers()):
        if value.shape[0] != layout.count or name in router._buffers:
            raise _odd(path, module, f"{name} of {tuple(value.shape)} in its router")
        parts.append(Part(f"{outer}.{routers[0]}.{name}", 0, "experts", 0, 1))
    return Site(path, index, "experts", {"experts": layout.count}, tuple(parts),
                f"{path}.{layout.down}", router=f"{outer}.{routers[0]}")


def _shape(module: nn.Module, role: str) -> tuple[int, int] | None:
    """(out, in) of a plain linear child."""
    child = module._modules.get(role)
    if child is None or not isinstance(child, nn.Linear) or not is_linear(child):
        return None
    rows, columns = child.weight.shape
    return rows, columns


def _leaves(module: nn.Module, role: str) -> list[str]:
    return [name for name, _ in module.get_submodule(role).named_parameters()]


def _check_all(path: str, module: nn.Module, parts: list[Part], others: dict[str, tuple[int, ...]]
               ) -> None:
    """Every parameter must be known, or a cut would leave something of the old width."""
    known = {part.parameter for part in parts}
    for name, parameter in module.named_parameters():
        if f"{path}.{name}" not in known and others.get(name) != tuple(parameter.shape):
            raise _odd(path, module, f"a parameter {name} of shape {tuple(parameter.shape)}")


def _odd(path: str, module: nn.Module, found: str) -> ModelError:
    return ModelError(f"find heads and neurons of {path}",
                      found=f"{found} ({type(module).__name__})",
                      expected="weights whose rows and columns belong to heads or neurons")
