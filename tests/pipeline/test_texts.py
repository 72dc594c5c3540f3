"""Texts stay apart, whatever the user gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import tiny_text, tiny_tokenizer

from neurosparse.errors import InputError, TextError
from neurosparse.pipeline import CompressOptions
from neurosparse.pipeline.texts import gather


def options(**more: object) -> CompressOptions:
    base = {"model": "m", "sparsity": 0.5, "windows": 8, "report_windows": 5,
            "selection_windows": 3, "window_length": 16}
    return CompressOptions(**{**base, **more})  # type: ignore[arg-type]


def test_one_file_is_split_without_overlap_and_said(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(tiny_text(2000))
    texts = gather(options(calibration=str(tmp_path / "t.txt"), rule="arithmetic",
                           search_step=True), tiny_tokenizer())
    assert texts.selection is not None
    assert [len(t) for t in (texts.calibration, texts.selection, texts.report)] == [8, 3, 5]
    windows = torch.cat([texts.calibration, texts.selection, texts.report])
    assert len({tuple(row.tolist()) for row in windows}) == 16
    assert len({identity["sha256"] for identity in texts.identity.values()}) == 3
    assert any("was split" in note for note in texts.notes)


def test_own_files_are_used_whole(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).write_text(tiny_text(2000, seed))
    texts = gather(options(calibration=str(tmp_path / "a"), report_text=str(tmp_path / "b")),
                   tiny_tokenizer())
    ids = tiny_tokenizer()((tmp_path / "b").read_text()).input_ids
    assert texts.report.flatten().tolist() == ids[: 5 * 16]
    assert texts.notes == []


def test_fewer_windows_than_asked_are_said_and_seeds_draw(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(tiny_text(600, 1))
    (tmp_path / "b").write_text(tiny_text(60, 2))
    given = {"calibration": str(tmp_path / "a"), "report_text": str(tmp_path / "b")}
    first = gather(options(**given), tiny_tokenizer())
    drawn = gather(options(**given, seed=5), tiny_tokenizer())
    assert any("3 windows, not the 5" in note for note in first.notes)
    assert not torch.equal(first.calibration, drawn.calibration)
    assert torch.equal(first.report, drawn.report)


def test_without_text_and_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosparse.measure import protocol

    monkeypatch.setattr(protocol, "is_installed", lambda: False)
    with pytest.raises(TextError, match="--calibration"):
        gather(options(), tiny_tokenizer())
    with pytest.raises(TextError, match="tokenizer"):
        gather(options(), None)


@pytest.mark.parametrize("wrong", [
    {"sparsity": 1.5}, {"windows": 0}, {"window_length": 1}, {"values": "int2"},
    {"export": "onnx"}, {"method": "x"}, {"rule": "y"}, {"dtype": "float64"}, {"step": 0.1},
    {"rule": "arithmetic"}, {"search_step": True},
    {"rule": "arithmetic", "step": 0.1, "search_step": True},
])
def test_wrong_options_are_refused_before_anything_is_loaded(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        options(**wrong)


def test_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)
