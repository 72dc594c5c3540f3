"""docs/format.md: its reader reads our files, and its numbers are right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sparse_cases import build

from neurosparse import models
from neurosparse.sparse import VALUES, packed_bytes, save, unpack
from neurosparse.sparse.headers import read_headers
from neurosparse.sparse.matrix import pack

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


@pytest.fixture(scope="module")
def reader() -> Any:
    """The function of the page, as it stands there."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 1 and len(code[0].strip().splitlines()) <= 24
    names: dict[str, Any] = {}
    exec(code[0], names)
    return names["read_packed"]


@pytest.mark.parametrize(("values", "group"), [*((kind, None) for kind in VALUES[:4]),
                                               ("int8", 32), ("int4", 32), ("int4", 128)])
@pytest.mark.parametrize("family", ["gpt2", "mixtral"])
def test_the_reader_of_the_page_reads_our_files(values: str, group: int | None, family: str,
                                                reader: Any, tmp_path: Path) -> None:
    model = build(family)
    save(model, tmp_path / "packed", values=values, group_size=group)
    told = json.loads((tmp_path / "packed" / "config.json").read_text())["quantization_config"]
    assert told.get("group") == group and told["version"] == (1 if group is None else 2)
    targets = [target for target in models.find_targets(model) if target.expert is None]
    for target in targets:
        found = reader(tmp_path / "packed" / "model.safetensors", target.name, group)
        packed = pack(models.get_weight(model, target), values=values, group_size=group)
        wanted = unpack(packed).numpy()
        rows, cols = target.shape
        assert found.shape == (rows, -(-cols // 64) * 64) and not found[:, cols:].any()
        np.testing.assert_array_equal(found[:, :cols], wanted)
    if family == "mixtral":
        part = "model.layers.1.mlp.experts.down_proj"
        dense = model.get_parameter(part)
        found = reader(tmp_path / "packed" / "model.safetensors", part, group)[:, : dense.shape[2]]
        wanted = unpack(pack(dense.flatten(0, 1), values=values, group_size=group)).numpy()
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("values", VALUES)
def test_the_data_lie_aligned(values: str, tmp_path: Path) -> None:
    save(build("opt"), tmp_path / "packed", values=values, max_shard_bytes=40_000)
    for path in (tmp_path / "packed").glob("*.safetensors"):
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        assert (8 + length) % 64 == 0
        entries = read_headers([path])
        for name, item in json.loads(raw[8 : 8 + length]).items():
            if name == "__metadata__":
                continue
            place = 8 + length + item["data_offsets"][0]
            assert place % (64 if name.endswith(".values") else entries[name].dtype.itemsize) == 0


def test_the_table_of_bytes_is_right() -> None:
    rows = re.findall(r"\| (\d+) % \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|",
                      PAGE.read_text(encoding="utf-8"))
    assert len(rows) == 4
    for zeros, *shares in rows:
        nnz = round(4096 * 4096 * (100 - int(zeros)) / 100)
        for kind, told in zip(("bf16", "int8", "int4"), shares, strict=True):
            share = packed_bytes(4096, 4096, nnz, kind) / (2 * 4096 * 4096)
            assert share == pytest.approx(float(told), abs=0.0051)


def test_everything_else_has_the_dtype_of_the_page(tmp_path: Path) -> None:
    for values, dtype in (("bf16", torch.bfloat16), ("int8", torch.bfloat16),
                          ("int4", torch.bfloat16),
                          ("fp16", torch.float16), ("fp32", torch.float32)):
        save(build("qwen2"), tmp_path / values, values=values)
        entries = read_headers([tmp_path / values / "model.safetensors"])
        parts = (".bitmap", ".values", ".scales")
        whole = values.startswith("int")
        words = {n for n in entries if whole and n.endswith("embed_tokens.weight")}
        assert {entries[n].dtype for n in words} == ({torch.int8} if whole else set())
        assert {e.dtype for n, e in entries.items()
                if not n.endswith(parts) and n not in words} == {dtype}
        assert "lm_head.weight" not in entries
