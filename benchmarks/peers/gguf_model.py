"""The model of ``llama`` in GGUF, rounded by the ``gguf`` package to Q8_0 or Q4_0."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from peers.llama import BASE, EPSILON, POSITIONS, VOCABULARY, ends
from peers.weights import PARTS, STEP, Shape, Weights

_NAMES = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate",
          "up": "ffn_up", "down": "ffn_down"}


class Rounded:
    """The weights as a GGUF type holds them."""

    def __init__(self, weights: Weights, kind: str) -> None:
        self.shape, self.kind = weights.shape, gguf.GGMLQuantizationType[kind]
        # Further blocks have the same rows in another order, so block 0 is rounded once.
        self.rows = {part: gguf.quants.quantize(weights.floats(part, 0), self.kind)
                     for part in PARTS}
        self.multiplied: dict[str, NDArray[np.float32]] = {}

    def bits(self, part: str, block: int) -> NDArray[np.uint8]:
        """As stored, uint8 array of shape (rows, bytes of a row)."""
        return np.roll(self.rows[part], -STEP * block, axis=0)

    def floats(self, part: str, block: int) -> NDArray[np.float32]:
        """As multiplied."""
        if part not in self.multiplied:
            self.multiplied[part] = gguf.quants.dequantize(self.rows[part], self.kind)
        return np.roll(self.multiplied[part], -STEP * block, axis=0)


def write(path: Path, rounded: Rounded, blocks: int) -> None:
    """Rows of queries and keys in the order of this format, where partners stand side by side."""
    shape: Shape = rounded.shape
    beside = path.with_suffix(".part")
    out = gguf.GGUFWriter(beside, "llama")
    out.add_block_count(blocks)
    out.add_context_length(2 * POSITIONS)
    out.add_embedding_length(shape.width)
    out.add_feed_forward_length(shape.inner)
    out.add_head_count(shape.heads)
    out.add_head_count_kv(shape.heads)
    out.add_layer_norm_rms_eps(EPSILON)
    out.add_rope_dimension_count(STEP)
    out.add_rope_freq_base(BASE)
    out.add_vocab_size(VOCABULARY)
    out.add_tokenizer_model("none")
    embedding, head = ends(shape)
    out.add_tensor("token_embd.weight", embedding)
    out.add_tensor("output.weight", head)
    ones = np.ones(shape.width, np.float32)
    out.add_tensor("output_norm.weight", ones)
    for block in range(blocks):
        out.add_tensor(f"blk.{block}.attn_norm.weight", ones)
        out.add_tensor(f"blk.{block}.ffn_norm.weight", ones)
        for part in PARTS:
            bits = rounded.bits(part, block)
            if part in ("q", "k"):
                heads = bits.reshape(shape.heads, 2, STEP // 2, -1)
                bits = np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(bits.shape)
            out.add_tensor(f"blk.{block}.{_NAMES[part]}.weight", bits, raw_dtype=rounded.kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    beside.replace(path)
