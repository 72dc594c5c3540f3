"""Files are whole or absent; records come back as they went."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurosparse.errors import FormatError, NeurosparseError, StorageError
from neurosparse.files import read_json, write_json, write_text, write_whole, write_whole_folder
from neurosparse.records import RunRecord


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(RuntimeError), write_whole(tmp_path / "a") as beside:
        beside.write_text("new")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_failing_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with write_whole_folder(tmp_path / "f") as beside:
        (beside / "x").write_text("1")
    with pytest.raises(KeyboardInterrupt), write_whole_folder(tmp_path / "f") as beside:
        (beside / "x").write_text("2")
        raise KeyboardInterrupt
    assert (tmp_path / "f" / "x").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    with write_whole_folder(tmp_path / "f") as beside:
        (beside / "y").write_text("3")
    assert [p.name for p in (tmp_path / "f").iterdir()] == ["y"]


def test_what_is_renamed_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content first, then the new name, then the folder that holds the name."""
    done: list[tuple[str, object]] = []
    replace = os.replace

    def moved(old: Path, new: Path) -> None:
        done.append(("rename", new.name))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", lambda handle: done.append(("sync", os.fstat(handle).st_ino)))
    monkeypatch.setattr(os, "replace", moved)
    write_text(tmp_path / "a", "x")
    inode, folder = (tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino
    assert done == [("sync", inode), ("rename", "a"), ("sync", folder)]
    done.clear()
    with write_whole_folder(tmp_path / "f") as beside:
        (beside / "deep").mkdir()
        (beside / "deep" / "x").write_text("1")
    inode = (tmp_path / "f" / "deep" / "x").stat().st_ino
    assert done == [("sync", inode), ("rename", "f"), ("sync", folder)]


def test_a_closed_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        write_text(tmp_path / "file" / "below", "x")


@pytest.mark.parametrize("place", ["/proc/a", "/proc/a/b"])
def test_a_place_that_cannot_be_made_is_named(place: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=place):
        write_text(place, "x")
    with pytest.raises(StorageError, match=place), write_whole_folder(place):
        pass
    # A file that was to be read while writing is another matter.
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "a"):
        (tmp_path / "source").read_text()


@pytest.mark.parametrize("text", ["No space left on device", "File too large"])
def test_a_full_disk_in_the_words_of_another_library(text: str, tmp_path: Path) -> None:
    class SafetensorError(Exception):
        pass

    with pytest.raises(StorageError, match="full disk"), write_whole(tmp_path / "a"):
        raise SafetensorError(f"Error while serializing: I/O error: {text} (os error 28)")


def test_record_round_trip(tmp_path: Path) -> None:
    record = RunRecord("compress", arguments={"sparsity": 0.6}, seeds={"windows": None})
    with record.timed("prune"):
        pass
    record.write(tmp_path / "run.json")
    found = RunRecord.read(tmp_path / "run.json")
    assert found == record
    assert found.peak_memory_bytes > 10**7 and found.timings["prune"] >= 0
    assert found.versions["neurosparse"] and found.machine["cores"] >= 1
    raw = read_json(tmp_path / "run.json")
    for change in ({"format": "x"}, {"version": 2}, {"surprise": 1}):
        write_json(tmp_path / "bad.json", raw | change)
        with pytest.raises(FormatError):
            RunRecord.read(tmp_path / "bad.json")


def test_an_error_says_what_was_found_and_expected() -> None:
    error = NeurosparseError("compress", found="x", expected="y", mend="Do z.")
    assert str(error) == "compress: found x; expected y. Do z."
    assert (error.operation, error.found, error.expected, error.mend) == (
        "compress", "x", "y", "Do z.")
