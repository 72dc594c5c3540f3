"""The table of tokens and sparsity, on a small model that has learnt nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from scripts import said_by

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_measured_chosen_and_reported(tmp_path: Path) -> None:
    pytest.importorskip("av")
    sys.path.insert(0, str(ROOT / "examples" / "video"))
    try:
        from small_model import Size, make_model
    finally:
        sys.path.remove(str(ROOT / "examples" / "video"))
    model, processor = make_model(Size(vision=16, vision_layers=1, text=32, text_layers=2), 0)
    for part in (model, processor.image_processor, processor.tokenizer):
        part.save_pretrained(tmp_path / "model")
    script, out = str(ROOT / "benchmarks" / "table_joined.py"), tmp_path / "joined.json"
    words = (script, "--quick", "--model", str(tmp_path / "model"), "--out", str(out), "--cache",
             str(tmp_path / "cache"))
    said = said_by(*words)
    assert "chosen on 2 videos" in said and "dense, all tokens" in said
    table = json.loads(out.read_text())["none"]
    dense = table["measured"]["dense_flops"]
    for name, choice in table["choices"].items():
        target = float(name.split()[1])
        for point in filter(None, choice.values()):
            assert point["cost"] <= target * dense * (1 + 1e-9)
            row = table["rows"][f"{point['tokens']} at {point['sparsity']:.4f}"]
            assert len(row["kl"]) == 2 and len(row["kl"][0]) == 4
    # Nothing is measured twice, and the same table is shown.
    before = out.stat().st_mtime_ns
    assert said_by(script, "--show", "--out", str(out)).splitlines()[-3:] == said.splitlines()[-3:]
    assert out.stat().st_mtime_ns == before
    picture = tmp_path / "joined.png"
    said_by(script, "--figure", str(picture), "--out", str(out))
    assert picture.stat().st_size > 5000
