"""Masked LoRA under accelerate's data parallel: two processes on the CPU, one gradient."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from losa_cases import sparse_model, tiny_windows
from peft import get_peft_model

from neurosparse.adaptation import lora_config

BATCH, STEPS = 4, 4

_WORKER = f"""
import json, sys
sys.path[:0] = json.loads(sys.argv[2])
import torch
from accelerate import Accelerator
from losa_cases import sparse_model, tiny_windows, zeros
from peft import get_peft_model
from neurosparse.adaptation import lora_config

torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
base = sparse_model()
gone = zeros(base)
model = get_peft_model(base, lora_config(base, 4))
optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
model, optimiser = accelerator.prepare(model, optimiser)
half = {BATCH} // accelerator.num_processes
at = accelerator.process_index * half
for step in range({STEPS}):
    part = tiny_windows({BATCH} * {STEPS}, 16)[step * {BATCH} + at : step * {BATCH} + at + half]
    optimiser.zero_grad()
    accelerator.backward(model(input_ids=part, labels=part).loss)
    optimiser.step()
plain = accelerator.unwrap_model(model).merge_and_unload()
kept = all(torch.equal(zeros(plain)[name], was) for name, was in gone.items())
if accelerator.is_main_process:
    torch.save({{"logits": plain(tiny_windows(2, 16)).logits, "kept": kept,
                 "processes": accelerator.num_processes}}, sys.argv[1])
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Equal parts of a batch, gradients averaged: the whole batch's step, to rounding."""
    script, out = tmp_path / "worker.py", tmp_path / "found.pt"
    script.write_text(_WORKER)
    here = json.dumps([str(Path(__file__).parents[1])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr",
         "127.0.0.1", "--master-port", str(_free_port()), str(script), str(out), here],
        env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = torch.load(out)
    assert found["processes"] == 2 and found["kept"]

    torch.manual_seed(0)
    base = sparse_model()
    fresh = base(tiny_windows(2, 16)).logits.detach()
    model = get_peft_model(base, lora_config(base, 4))
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for part in tiny_windows(BATCH * STEPS, 16).split(BATCH):
        optimiser.zero_grad()
        model(input_ids=part, labels=part).loss.backward()
        optimiser.step()
    alone = model.merge_and_unload()(tiny_windows(2, 16)).logits
    assert float((alone - fresh).abs().max()) > 1e-3
    torch.testing.assert_close(found["logits"], alone, rtol=1e-4, atol=1e-5)
