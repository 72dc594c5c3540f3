"""One token at a time through a whole model, in one compiled call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from neurosparse import kernels
from neurosparse.compiled import compiled_decoder
from neurosparse.errors import InputError, ModelError
from neurosparse.models.last_row import last_row
from neurosparse.sparse.family import Family, read_family
from neurosparse.sparse.linear import SparseLinear
from neurosparse.sparse.matrix import quantised
from neurosparse.sparse.vocabulary import RoundedEmbedding, RoundedHead
from neurosparse.tiles import Tiles

HEADS = ("auto", "int8")
_PROBE = 12


class Decoder:
    """Greedy or sampled decoding of a model of the Llama family on the CPU, batch 1.

    ``transformers`` runs some thirty torch operators a block and token from Python, which for small
    models takes longer than reading the weights. Here a token is one call into the compiled core:
    norms, rotations, attention over a cache of its own, gated activations, and the products with
    packed (or dense) weights in tile order, q with k and v, gate with up. Blocks may differ in
    heads and neurons. The prompt is read by the model itself, whose cache is then copied.

    Everything between the products is float32. Products round their input to bfloat16 where the
    model's dtype is bfloat16; the cache is then bfloat16 too.

    Parameters
    ----------
    model
        Model of transformers on the CPU, packed (``sparse.load``) or dense, float32 or bfloat16.
    positions
        Tokens that the cache holds, prompt and answer together.
    head
        ``"auto"``: the output head in bfloat16 where that loses nothing or the model is bfloat16,
        else in float32; ``"int8"``: rounded to int8 by row.
    check
        Compare logits with the model's own before anything is decoded.

    Raises
    ------
    InputError
        ``positions`` or ``head`` is out of range, or nothing is compiled.
    ModelError
        The model has other parts, or other logits: it is not of this family.
    """

    about = "core loop: one compiled call a token, products in tile order, batch 1"

    def __init__(self, model: Any, *, positions: int = 2048, head: str = "auto",
                 check: bool = True) -> None:
        if head not in HEADS:
            raise InputError("Decoder", found=f"head={head!r}", expected=" or ".join(HEADS))
        if positions < 1:
            raise InputError("Decoder", found=f"positions={positions}", expected="at least 1")
        words = model.get_input_embeddings()
        dtype = words.dtype if isinstance(words, RoundedEmbedding) else words.weight.dtype
        if dtype not in (torch.float32, torch.bfloat16):
            raise InputError("Decoder", found=f"a model in {dtype}",
                             expected="float32 or bfloat16")
        self.model, self.positions, self.position = model, positions, 0
        # By what is read here; rows that are stored so give the model the same logits.
        self._rounded = head == "int8"  # the head alone is then off by some thousandths
        self.halves = dtype == torch.bfloat16
        self._family = read_family(model, positions)
        self._embed = model.get_input_embeddings()
        self._layers = self._arrays(self._family)
        self._head = head_tiles(self._family.head, self.halves, head)
        self._compiled = compiled_decoder(
            self._sizes(self._family), self._layers, self._head,
            self._family.last_norm.numpy())
        self._logits = np.empty(self._head.shape[0], np.float32)
        if check:
            self._check()

    def prefill(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read a prompt from its beginning.

        Parameters
        ----------
        tokens : int64 tensor of shape (length,) or (1, length)

        Returns
        -------
        float32 tensor of shape (vocabulary,)
            Logits of the token that comes next.

        Raises
        ------
        InputError
            No token, or more than the cache holds.
        """
        tokens = tokens.reshape(1, -1)
        length = tokens.shape[1]
        if not 1 <= length <= self.positions:
            raise InputError("read the prompt", found=f"{length} tokens",
                             expected=f"1 to {self.positions}",
                             mend="Make the Decoder with more positions.")
        with torch.inference_mode(), last_row(self.model):
            out = self.model(input_ids=tokens, use_cache=True, logits_to_keep=1)
        for layer, kept in zip(self._layers, out.past_key_values.layers, strict=True):
            for name, part in (("keys", kept.keys), ("values", kept.values)):
                self._keep(layer[name], part[0], length)
        self.position = length
        logits: torch.Tensor = out.logits[0, -1].float()
        return logits

    def step(self, token: int) -> torch.Tensor:
        """One token on; logits of the next, float32 tensor of shape (vocabulary,).

        The tensor is written anew by the next step.

        Raises
        ------
        InputError
            The cache is full.
        """
        if self.position >= self.positions:
            raise InputError("decode", found=f"token {self.position + 1}",
                             expected=f"at most {self.positions}",
                             mend="Make the Decoder with more positions.")
        with torch.inference_mode():
            x = self._embed(torch.tensor([token]))[0].float().contiguous().numpy()
        code = self._compiled.step(self.position, x, self._logits)
        kernels.raise_on(code, "decode")
        self.position += 1
        logits = torch.from_numpy(self._logits)
        cap = self._family.final_cap
        return torch.tanh(logits / cap) * cap if cap else logits

    def greedy(self, tokens: torch.Tensor, steps: int) -> Iterator[int]:
        """The likeliest continuation of a prompt, token by token."""
        logits = self.prefill(tokens)
        for at in range(steps):
            token = int(logits.argmax())
            yield token
            if at + 1 < steps:
                logits = self.step(token)

    @property
    def spent(self) -> dict[str, float]:
        """Seconds of all steps so far: ``linears`` of the blocks, ``head``, and the ``rest``."""
        return dict(zip(("linears", "head", "rest"), self._compiled.spent.tolist(), strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of weights that one token reads."""
        linears = [tiles for layer in self._layers for tiles in layer.values()
                   if isinstance(tiles, Tiles)]
        return sum(tiles.nbytes for tiles in [*linears, self._head])

    @property
    def head_bytes(self) -> int:
        """Of them those of the output head."""
        return self._head.nbytes

    def _sizes(self, family: Family) -> dict[str, Any]:
        names = ("width", "head_width", "eps", "scale", "cap", "activation")
        return {**{name: getattr(family, name) for name in names},
                "positions": self.positions, "halves": self.halves}

    def _arrays(self, family: Family) -> list[dict[str, Any]]:
        turns = self._rotations(family)
        kind = np.uint16 if self.halves else np.float32
        layers = []
        for block in family.blocks:
            layer: dict[str, Any] = {"window": block.window}
            for name, module in block.linears.items():
                layer[name] = linear_tiles(module, self.halves)
                if module.bias is not None:
                    bias: torch.Tensor = module.bias.detach()  # type: ignore[operator]
                    layer[f"{name}_bias"] = bias.float().contiguous().numpy()
            layer |= {place: weight.numpy() for place, weight in block.norms.items()}
            layer["cosine"], layer["sine"] = turns[block.rotation]
            shape = (block.kv_heads, self.positions, family.head_width)
            layer["keys"], layer["values"] = np.zeros(shape, kind), np.zeros(shape, kind)
            layers.append(layer)
        return layers

    def _rotations(self, family: Family) -> dict[str | None, tuple[Any, Any]]:
        """Cosines and sines of all positions, by kind of layer."""
        found = {}
        probe = torch.zeros(1, 1, family.width)
        places = torch.arange(self.positions)[None]
        for kind in {block.rotation for block in family.blocks}:
            with torch.no_grad():
                try:
                    both = family.base.rotary_emb(probe, places, kind)
                except TypeError:  # one kind for all layers
                    both = family.base.rotary_emb(probe, places)
            cosine, sine = (part[0].float().contiguous().numpy() for part in both)
            if cosine.shape != (self.positions, family.head_width):
                raise ModelError("decode token by token",
                                 found=f"a rotary embedding of {cosine.shape[-1]} coordinates",
                                 expected=f"{family.head_width}, all of a head",
                                 mend="Use the model's own generate.")
            found[kind] = (cosine, sine)
        return found

    def _keep(self, cache: Any, part: torch.Tensor, length: int) -> None:
        """Keys or values (kv_heads, tokens, width); layers with a window keep the last alone."""
        begin = length - part.shape[1]
        if self.halves:
            part = part.to(torch.bfloat16).contiguous().view(torch.int16)
            cache[:, begin:length] = part.numpy().view(np.uint16)
        else:
            cache[:, begin:length] = part.float().numpy()

    def _check(self) -> None:
        """Logits of a few tokens against the model's own; those also at the last positions.

        What is at the beginning and at the end differs where a model scales by the position.
        """
        count = min(_PROBE, self.positions)
        tokens = (torch.arange(count) * 7 + 3) % self._head.shape[0]
        places = torch.stack([torch.arange(count), torch.arange(count) + self.positions - count])
        with torch.inference_mode():
            wanted, last = self.model(input_ids=tokens.expand(2, -1),
                                      position_ids=places).logits.float()
        found = [self.prefill(tokens[: (count + 1) // 2])]
        found += [self.step(token).clone() for token in tokens[(count + 1) // 2 :].tolist()]
        self.position = 0
        want = wanted[-len(found) :]
        error = float((torch.stack(found) - want).norm() / want.norm())
        if not error < (0.05 if self.halves else 0.02 if self._rounded else 0.002):
            raise ModelError("decode token by token",
                             found=f"logits that differ by {error:.1%} from the model's own",
                             expected="the same", mend="Use the model's own generate.")
        error = float((last - wanted).norm() / wanted.norm())
        if not error < (0.1 if self.halves else 0.01):
            raise ModelError("decode token by token",
                             found=f"logits that differ by {error:.1%} with {self.positions} "
                             "positions from the beginning", expected="the same at both",
                             mend="Use the model's own generate, or fewer positions.")


def linear_tiles(module: nn.Module, halves: bool) -> Tiles:
    """A linear in tile order: packed rows as they are, a dense weight with every item."""
    if isinstance(module, SparseLinear):
        return module.views().tiles(0, module.rows)
    weight: torch.Tensor = module.weight.detach()  # type: ignore[operator]
    return dense_tiles(weight, halves)


def dense_tiles(weight: torch.Tensor, halves: bool) -> Tiles:
    """Every item stored: in bfloat16 where that loses nothing or ``halves``, else in float32."""
    short = weight.to(torch.bfloat16)
    if halves or torch.equal(short.to(weight.dtype), weight):
        return Tiles.from_dense(short.contiguous().view(torch.int16).numpy().view(np.uint16),
                                "bf16")
    return Tiles.from_dense(weight.float().contiguous().numpy(), "fp32")


def head_tiles(module: nn.Module, halves: bool, how: str) -> Tiles:
    """The output head, dense."""
    if isinstance(module, RoundedHead):
        return module.tiles()
    weight: torch.Tensor = module.weight.detach()  # type: ignore[operator]
    if how == "int8":
        values, scales = quantised(weight)
        return Tiles.from_dense(values.numpy(), "int8", scales.numpy())
    return dense_tiles(weight, halves)
