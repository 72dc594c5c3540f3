"""Loading never holds the dense model: a process with less memory than that can do it."""

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
import re, resource, sys
import torch
torch.set_num_threads(1)
import transformers, neurosparse.sparse.quantizer
from transformers.models.llama import modeling_llama
from neurosparse import sparse

folder, spare, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
held = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + spare, held + spare))
if kind == "packed":
    model = sparse.load(folder)
    with torch.inference_mode():
        out = model(torch.tensor([[5, 6, 7, 8, 9, 10, 11]]), use_cache=False).logits
    assert bool(torch.isfinite(out).all())
else:
    config = transformers.AutoConfig.from_pretrained(folder)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16)
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux counts it")
def test_a_process_with_half_the_dense_bytes_loads_and_runs_it(tmp_path: Path) -> None:
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
    dense = 2 * sum(rows * cols for rows, cols in shapes.values())
    assert dense > 200e6

    def run(kind: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path / "packed"), str(dense // 2), kind],
            capture_output=True, text=True, timeout=300)

    done = run("packed")
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-2000:]
    assert run("dense").returncode != 0  # the limit is one that the dense model breaks
