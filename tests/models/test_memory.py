"""A model three times the memory that is left can be pruned, if it is streamed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

BLOCKS, WIDTH, INNER, VOCABULARY = 9, 1024, 3072, 512
CHILD = """
import json, resource, sys
from pathlib import Path
import torch
import transformers.models.llama.modeling_llama, transformers.models.auto.modeling_auto
import transformers.core_model_loading, transformers.masking_utils, safetensors.torch
from neurosparse.errors import ModelError
from neurosparse.models import BlockWalk, find_targets, get_weight, load, set_weight

torch.set_num_threads(1)
folder, stream, scratch = Path(sys.argv[1]), sys.argv[2] == "stream", sys.argv[3]
size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def used(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])


# Warm: the first product makes threads and work space that are not the model's.
torch.ones(64, 64) @ torch.ones(64, 64)
before = used("VmData:")
limit = before + size // 3
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    model = load(folder, stream=stream).model
    targets = find_targets(model)
    tokens = torch.arange(4 * 16).reshape(4, 16)
    walk = BlockWalk(model, tokens, batch_size=2, store="disk", folder=scratch)
    zeros = total = 0
    for index in range(walk.n_blocks):
        with walk.block(index):
            for target in (t for t in targets if t.block == index):
                # By magnitude within an output row, a few rows at a time: the work space is small.
                for rows in get_weight(model, target).split(128):
                    middle = rows.abs().kthvalue(rows.shape[1] // 2, dim=1, keepdim=True).values
                    rows[rows.abs() <= middle] = 0
                    zeros += int((rows == 0).sum())
                    total += rows.numel()
            walk.run(index, keep=True)
    logits = walk.logits(0)
    assert torch.isfinite(logits).all()
    print(json.dumps({"size": size, "headroom": limit - before, "zeros": zeros, "total": total,
                      "blocks": walk.n_blocks}))
except ModelError as error:
    print(json.dumps({"refused": str(error)}))
"""


def write_model(folder: Path) -> int:
    """A random Llama of float32 weights, one shard a block; returns its bytes."""
    folder.mkdir()
    shapes = {
        "self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (WIDTH, WIDTH),
        "self_attn.v_proj": (WIDTH, WIDTH), "self_attn.o_proj": (WIDTH, WIDTH),
        "mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH),
        "mlp.down_proj": (WIDTH, INNER),
    }
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(INNER, WIDTH, generator=generator) * 0.02
    index: dict[str, str] = {}

    def write(file: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, folder / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(tensors, file))

    for block in range(BLOCKS):
        prefix = f"model.layers.{block}"
        tensors = {
            f"{prefix}.{name}.weight": (noise.flatten()[: rows * cols].reshape(rows, cols) + block)
            .sub_(block).contiguous()
            for name, (rows, cols) in shapes.items()
        }
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}.{norm}.weight"] = torch.ones(WIDTH)
        write(f"model-{block:05d}.safetensors", tensors)
    embedding = noise[:VOCABULARY].clone()
    write("model-rest.safetensors", {
        "model.embed_tokens.weight": embedding, "model.norm.weight": torch.ones(WIDTH),
    })
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY,
        "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": BLOCKS,
        "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 128,
        "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
    }))
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def run(folder: Path, how: str, scratch: Path) -> dict[str, Any]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1",
                   "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), how, str(scratch)],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only")
def test_a_model_three_times_the_limit_is_pruned_only_when_streamed(tmp_path: Path) -> None:
    size = write_model(tmp_path / "model")
    assert 300e6 < size < 600e6
    result = run(tmp_path / "model", "stream", tmp_path / "scratch")
    assert result["size"] == size >= 3 * result["headroom"]
    assert result["blocks"] == BLOCKS
    assert 0.5 <= result["zeros"] / result["total"] < 0.51
    refused = run(tmp_path / "model", "whole", tmp_path / "scratch")
    assert "too little memory" in refused["refused"] and "stream=True" in refused["refused"]
