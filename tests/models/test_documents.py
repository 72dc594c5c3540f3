"""Texts from files and data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurosparse.errors import TextError
from neurosparse.models import read_documents


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo ä\n", encoding="utf-8")
    assert read_documents(path) == ["one\n\ntwo ä\n"]
    assert read_documents(str(path)) == ["one\n\ntwo ä\n"]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_json_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    records = [{"id": 3, "title": "t", "text": "one"}, {"id": 4, "body": "two\u2028"}, "three",
               {"text": "  "}]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    assert read_documents(path) == ["one", "two\u2028", "three"]


def test_a_json_list(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "one"}, "two"], indent=1))
    assert read_documents(path) == ["one", "two"]
    path.write_text(json.dumps({"text": "alone"}))
    assert read_documents(path) == ["alone"]


def test_a_local_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (folder / "test.jsonl").write_text('{"text": "three"}\n')
    assert read_documents(f"datasets:{folder}") == ["one", "two"]
    assert read_documents(f"datasets:{folder}::test") == ["three"]
    assert not datasets.are_progress_bars_disabled()
    with pytest.raises(TextError):
        read_documents(f"datasets:{folder}::nothing")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"", "no text"),
        ("a.txt", b" \n", "no text"),
        ("a.jsonl", b"", "no text"),
        ("a.jsonl", b'{"text": "x"}\n{"te', "line 2"),
        ("a.jsonl", b'{"n": 1}\n', "record 1"),
        ("a.jsonl", b"[1]\n", "record 1"),
        ("a.json", b"{", "line 1"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_bad_files_are_one_clear_error(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TextError) as error:
        read_documents(tmp_path / name)
    assert says in str(error.value) and str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nothing.txt", "/no/where/at/all", "no/such.jsonl", "datasets:",
                                  "datasets:a:b:c:d"])
def test_missing_sources(name: str) -> None:
    with pytest.raises(TextError) as error:
        read_documents(name)
    assert name in str(error.value)


def test_a_data_set_that_is_not_there_says_so_quickly() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(TextError, match=r"offline|connection"):
        read_documents("datasets:wikitext:wikitext-2-raw-v1:test")
    with pytest.raises(TextError, match=r"offline|connection"):
        read_documents("wikitext")
