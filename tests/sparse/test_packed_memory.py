"""Loading holds the packed model once: not the dense one, and not the file beside tile order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sparse_cases import sparse_matrix
from transformers import LlamaConfig, LlamaForCausalLM

from neurosparse.models import find_targets
from neurosparse.sparse import CheckpointWriter, pack

BLOCKS, WIDTH, INNER = 6, 1024, 4096

CHILD = """
import re, sys
import torch
torch.set_num_threads(1)
import transformers, neurosparse.sparse.quantizer
from transformers.models.llama import modeling_llama
from neurosparse import sparse

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

torch.ones(64, 64) @ torch.ones(64, 64)
before = peak()
model = sparse.load(sys.argv[1], dtype="auto")
with torch.inference_mode():
    out = model(torch.tensor([[5, 6, 7, 8, 9, 10, 11]]), use_cache=False).logits
assert bool(torch.isfinite(out).all())
print("held", peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_loading_and_running_holds_the_packed_bytes_once(tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=100, hidden_size=WIDTH, intermediate_size=INNER,
                         num_hidden_layers=BLOCKS, num_attention_heads=8, num_key_value_heads=8)
    with torch.device("meta"):
        skeleton = LlamaForCausalLM(config)
    config.architectures = ["LlamaForCausalLM"]
    shapes = {target.name: target.shape for target in find_targets(skeleton)}
    packed = {shape: pack(sparse_matrix(*shape, density=0.2) / shape[1] ** 0.5)
              for shape in set(shapes.values())}
    with CheckpointWriter(tmp_path / "packed", config=config, tokenizer=None, values="bf16") as out:
        for name, parameter in skeleton.named_parameters():
            matrix = name.removesuffix(".weight")
            if matrix in shapes:
                out.add_packed(matrix, packed[shapes[matrix]])
            else:
                out.add(name, torch.ones(parameter.shape))
    size = sum(packed[shape].nbytes for shape in shapes.values())
    assert size > 50e6
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "packed")],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "held" in done.stdout, done.stderr[-2000:]
    # Embeddings, code that is loaded with the first call, and activations come on top.
    assert int(done.stdout.split()[-1]) < 1.1 * size + 30e6
