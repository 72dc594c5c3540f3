"""The archive: nothing lost, nothing torn, nothing mixed up, one writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import search_cases as cases

from neurosparse.errors import FormatError, ResumeError, StorageError
from neurosparse.search import Archive, Asked, Entry, RandomProposer, read_archive, search


def _filled(path: Path) -> None:
    with Archive(path, cases.space()) as archive:
        archive.begin("r", {"proposer": "x"})
        archive.ask(Asked("r", [[0.3] * 12], {"origins": ["start"]}))
        archive.add(Entry("r", "k1", 1, 0.1 + 0.2))
        archive.add(Entry("r", "k2", 1, None, "ValueError: ü"))


def test_a_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    _filled(path)
    found = read_archive(path)
    assert found.entries["k1", 1] == Entry("r", "k1", 1, 0.1 + 0.2)
    assert found.entries["k2", 1].reason == "ValueError: ü"
    assert found.entries["k2", 1].told == float("inf")
    assert found.batches["r"][0].configurations == [[0.3] * 12]
    assert found.runs == {"r": {"proposer": "x"}}
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_line_torn_at_any_byte_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    _filled(path)
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        assert len(read_archive(path).entries) == 1
        with Archive(path, cases.space()) as archive:
            archive.add(Entry("r", "k2", 1, None, "ValueError: ü"))
        assert path.read_bytes() == whole


@pytest.mark.parametrize(("change", "named"), [
    ({"space": cases.space(0.4)}, "space"),
    ({"space": cases.space(model={"name": "m", "sha256": "c"})}, "model"),
    ({"about": {"text": "other"}}, "about"),
])
def test_the_archive_of_another_search_is_refused(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    path = tmp_path / "a.jsonl"
    asked: dict[str, Any] = {"space": cases.space(), "about": {"text": "one"}}
    with Archive(path, **asked):
        pass
    before = path.read_bytes()
    with pytest.raises(ResumeError, match=f"another {named}"):
        Archive(path, **{**asked, **change})
    assert path.read_bytes() == before
    with Archive(path, **asked):  # a refusal gives back the lock
        pass


@pytest.mark.parametrize("text", [
    "no json\n", '{"format": "neurosparse.budget", "version": 1}\n', "[1, 2]\n", "no newline",
])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"a\.jsonl"):
        Archive(path, cases.space())
    assert path.read_text() == text


def test_a_newer_version_and_a_broken_line_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    _filled(path)
    rows = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(rows[0]) | {"version": 2}), *rows[1:]]) + "\n")
    with pytest.raises(FormatError, match="version 2"):
        Archive(path, cases.space())
    for broken in ("{", '{"line": "surprise"}', '{"line": "value", "run": "r"}'):
        path.write_text("\n".join([rows[0], broken, *rows[2:]]) + "\n")
        with pytest.raises(FormatError, match="line 2"):
            Archive(path, cases.space())


def test_an_empty_file_is_begun(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    _filled(path)
    assert len(read_archive(path).entries) == 2


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    _filled(path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with Archive(path, cases.space()) as archive:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StorageError, match="full disk"):
                archive.add(Entry("r", "k3", 1, 3.0))
        assert archive.entry("k3", 1) is None
        assert path.read_bytes() == before
        archive.add(Entry("r", "k3", 1, 3.0))
    assert len(read_archive(path).entries) == 3


def test_two_writers_in_one_program(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Archive(path, cases.space()) as first:
        with pytest.raises(ResumeError, match="this program"):
            Archive(path, cases.space())
        first.add(Entry("r", "k", 1, 1.0))
    first.close()  # again: must not give back the lock of the next
    with Archive(path, cases.space()):
        first.close()
        with pytest.raises(ResumeError, match="one writer"):
            Archive(path, cases.space())


def test_a_second_program_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = subprocess.Popen([sys.executable, cases.__file__, "hold", str(path)],
                             stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None and first.stdout.readline() == "locked\n"
        with pytest.raises(ResumeError, match=f"process {first.pid} on"):
            search(cases.space(), cases.plain, RandomProposer(cases.space()), 3, takes="values",
                   archive=path)
    finally:
        first.kill()
        first.wait()
    assert path.with_name("a.jsonl.lock").exists()  # the dead one left it behind
    found = search(cases.space(), cases.plain, RandomProposer(cases.space()), 3, takes="values",
                   archive=path)
    assert len(found.trials) == 3
    assert not path.with_name("a.jsonl.lock").exists()
