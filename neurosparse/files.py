"""Files are written whole or not at all: write beside, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurosparse.errors import FormatError, InputError, StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP,
           errno.ENAMETOOLONG)


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn the errors of a full or read-only disk into one ``StorageError`` that names the path."""
    try:
        yield
    except (StorageError, KeyboardInterrupt):
        raise
    except Exception as error:
        # safetensors and HDF5 raise errors of their own, with the number in the text alone.
        code = getattr(error, "errno", None)
        if code is None:
            code = next((n for n in _FULL + _CLOSED if os.strerror(n) in str(error)), None)
        if code in _FULL:
            raise StorageError(
                f"write {path}", found=f"a full disk ({os.strerror(code)})", expected="free space",
                mend="Free some space or choose another folder with --out.",
            ) from error
        if code in _CLOSED or (code == errno.ENOENT and _is_of(path, error)):
            raise StorageError(
                f"write {path}", found=os.strerror(code), expected="a folder you may write",
                mend="Choose another folder with --out.",
            ) from error
        raise


def check_can_hold(folder: Path, option: str = "--out") -> None:
    """Refuse a place that is no folder and cannot become one; nothing is written to find out.

    Raises
    ------
    StorageError
        It is a file or lies below one, or may not be written; the option that named it is said.
    """
    with translated_errors(folder):
        whole = folder.absolute()
        nearest = next(place for place in (whole, *whole.parents) if place.exists())
        wrong = None
        if not nearest.is_dir():
            wrong = f"the file {nearest} ({os.strerror(errno.ENOTDIR)})"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            wrong = f"{nearest} ({os.strerror(errno.EACCES)})"
        if wrong is not None:
            raise StorageError(f"write {folder}", found=wrong, expected="a folder you may write",
                               mend=f"Choose another folder with {option}.")


def _is_of(path: Path, error: Exception) -> bool:
    """Whether what does not exist is the place itself: /proc takes no folder, and says so."""
    name, beside = getattr(error, "filename", None), f".{path.name}."
    if not isinstance(name, (str, os.PathLike)):
        return beside in str(error)
    missing = Path(name)
    # What lies elsewhere is a file that was to be read while writing: an error of its own.
    return (missing in (path, *path.parents) or missing.parent == path
            or missing.name.startswith(beside))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` if the body succeeds.

    Raises
    ------
    StorageError
        The disk is full or the folder cannot be written.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    with translated_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            _sync(beside)
            os.replace(beside, target)
            _sync(target.parent)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def write_whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it becomes ``path`` if the body succeeds.

    A folder that was there before is replaced, and only at the very end.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    with translated_errors(target):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            yield beside
            for file in beside.rglob("*"):
                if file.is_file():
                    _sync(file)
            if target.exists():
                os.replace(target, old)
            os.replace(beside, target)
            _sync(target.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with write_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON (sorted as given, two spaces, UTF-8) whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError
        The file does not exist.
    FormatError
        It is not JSON.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"read {source}", found="no such file", expected="a JSON file")
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"read {source}", found=str(error), expected="JSON in UTF-8") from error


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def size_of(path: str | Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    source = Path(path)
    if source.is_file():
        return source.stat().st_size
    return sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
