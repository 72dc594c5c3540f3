"""What a block of the Llama family is made of, found by name and checked by value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neurosparse.errors import ModelError
from neurosparse.models import find_blocks
from neurosparse.sparse.linear import SparseLinear

LINEARS = {
    "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
    "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_ACTIVATIONS: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    torch.nn.functional.silu,
    lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
)


@dataclass
class Block:
    """Parts of one block.

    linears
        By the names of ``LINEARS``: ``nn.Linear`` or ``SparseLinear``.
    norms
        Weights as they multiply, by their place: before_attention, after_attention, before_feed,
        after_feed, q_norm, k_norm; float32 tensors.
    window
        Tokens that attention sees, 0 for all.
    rotation
        Name of the kind of layer, for the rotary embedding, or None.
    kv_heads
        Heads of keys and values.
    """

    linears: dict[str, nn.Module]
    norms: dict[str, torch.Tensor]
    window: int
    rotation: str | None
    kv_heads: int


@dataclass
class Family:
    """Parts of a whole model, and the numbers that its blocks share."""

    blocks: list[Block]
    base: Any
    head: nn.Module
    last_norm: torch.Tensor
    eps: float
    scale: float
    cap: float
    final_cap: float
    activation: int
    head_width: int
    width: int


def read_family(model: Any, positions: int) -> Family:
    """The parts of a model that computes as Llama does.

    Llama, Mistral, Qwen 2 and 3, Gemma 2 and 3 and what else has the same parts by the same names.
    Whether the parts are put together in the way that is expected only a comparison of logits
    tells: ``Decoder`` makes one. ``positions`` are to be decoded.

    Raises
    ------
    ModelError
        A part is missing or of another kind; the message names it.
    """
    try:
        return _read(model, positions)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # parts of a family not met so far, whatever they lack
        raise _other(f"{type(model).__name__}: {error}", "parts") from error


def _read(model: Any, positions: int) -> Family:
    found = find_blocks(model)
    _check_rotation(getattr(model.config.get_text_config(), "rope_parameters", None), positions)
    base, config = model.base_model, model.config.get_text_config()
    head = model.get_output_embeddings()
    if head is None or not hasattr(base, "rotary_emb") or not hasattr(base, "norm"):
        raise _other(type(model).__name__, "rotary_emb, norm and an output head")
    last_norm = _norm_weight(base.norm)
    first = found.modules[0]
    attention: Any = first.self_attn if hasattr(first, "self_attn") else None
    if attention is None or not hasattr(attention, "scaling"):
        raise _other(type(first).__name__, "self_attn with a scaling")
    kinds = getattr(config, "layer_types", None) or [None] * len(found)
    blocks = [_block(block, kind, config)
              for block, kind in zip(found.modules, kinds, strict=True)]
    return Family(
        blocks=blocks, base=base, head=head, last_norm=last_norm,
        eps=_eps(base.norm), scale=float(attention.scaling),
        cap=float(getattr(attention, "attn_logit_softcapping", None) or 0),
        final_cap=float(getattr(config, "final_logit_softcapping", None) or 0),
        activation=_activation(first), head_width=int(attention.head_dim),
        width=len(last_norm))


def _check_rotation(parameters: Any, positions: int) -> None:
    """Refuse angles that depend on how long the text has become: ours are made once.

    And queries that grow with the position (Ministral 3), where so many positions reach that.
    """
    if not isinstance(parameters, dict):
        return
    begin = parameters.get("original_max_position_embeddings") or 0
    if parameters.get("llama_4_scaling_beta") and positions > begin:
        raise _other(f"queries that grow with the position from {begin} on, of {positions}",
                     "scores that depend on the distance alone")
    if parameters.get("rope_type") in ("dynamic", "longrope"):
        raise _other(f"rotary angles of type {parameters['rope_type']!r}",
                     "angles that depend on the position alone")
    for one in parameters.values():  # by kind of layer
        _check_rotation(one, positions)


def _block(block: Any, kind: str | None, config: Any) -> Block:
    linears: dict[str, nn.Module] = {}
    for name, path in LINEARS.items():
        try:
            module = block.get_submodule(path)
        except AttributeError:
            raise _other(type(block).__name__, path) from None
        if not isinstance(module, SparseLinear) and type(module) is not nn.Linear:
            raise _other(f"{path} of type {type(module).__name__}", "Linear or SparseLinear")
        linears[name] = module
    four = hasattr(block, "pre_feedforward_layernorm")
    places: dict[str, str | None] = {
        "before_attention": "input_layernorm",
        "after_attention": "post_attention_layernorm" if four else None,
        "before_feed": "pre_feedforward_layernorm" if four else "post_attention_layernorm",
        "after_feed": "post_feedforward_layernorm" if four else None,
        "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm",
    }
    norms = {}
    for place, where in places.items():
        owner = block.self_attn if where and "." in where else block
        module = None if where is None else getattr(owner, where.rpartition(".")[2], None)
        if module is not None:
            norms[place] = _norm_weight(module)
        elif place.startswith("before"):
            raise _other(type(block).__name__, str(where))
    # Families with several kinds of layer say it in the module, the others for all in the config.
    window = (block.self_attn.sliding_window if hasattr(block.self_attn, "sliding_window")
              else None if kind is not None else getattr(config, "sliding_window", None))
    keys: Any = linears["k"]
    return Block(linears, norms, int(window or 0), kind,
                 keys.out_features // block.self_attn.head_dim)


def _norm_weight(module: Any) -> torch.Tensor:
    """What multiplies: Gemma adds one to what it stores, so the module is asked."""
    if getattr(module, "weight", None) is None:
        raise _other(f"{type(module).__name__} without weight", "a norm with one")
    width = module.weight.shape[0]
    with torch.no_grad():
        ones = torch.ones(1, width, dtype=torch.float32, device=module.weight.device)
        weight: torch.Tensor = module(ones).float() * (1 + _eps(module)) ** 0.5
    return weight[0].contiguous()


def _eps(module: Any) -> float:
    for name in ("variance_epsilon", "eps"):
        if isinstance(getattr(module, name, None), float):
            return float(getattr(module, name))
    raise _other(type(module).__name__, "a norm with variance_epsilon or eps")


def _activation(block: Any) -> int:
    probe = torch.linspace(-4, 4, 33)
    function = getattr(block.mlp, "act_fn", None)
    for number, known in enumerate(_ACTIVATIONS):
        if function is not None and torch.allclose(function(probe), known(probe), atol=1e-5):
            return number
    raise _other(f"the activation {function}", "SiLU, or GELU in its tanh form")


def _other(found: str, expected: str) -> ModelError:
    return ModelError("decode token by token", found=found,
                      expected=f"{expected}, as models of the Llama family have",
                      mend="Use the model's own generate.")
