"""Texts from files and from the datasets library."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from neurosparse.errors import MissingExtraError, TextError
from neurosparse.models.network import check_reachable

_DATASET = "datasets:"
_DATASET_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SUFFIXES = (".json", ".jsonl", ".txt", ".md")


def read_documents(source: str | Path) -> list[str]:
    """The documents of a text source.

    Parameters
    ----------
    source
        A text file (one document); ``.jsonl`` or ``.json`` with one record a line, or one JSON
        list of records: a record is a string, or an object whose "text" field (or else first
        string field) is taken; ``"datasets:NAME[:CONFIG[:SPLIT]]"`` or the bare name of a data
        set (split "train" by default).

    Returns
    -------
    list of str
        At least one, none of them empty.

    Raises
    ------
    TextError
        The source is missing, unreadable, or holds no text.
    MissingExtraError
        A data set is asked for and the datasets library is not installed.
    """
    name = str(source)
    if name.startswith(_DATASET):
        documents = _from_datasets(name.removeprefix(_DATASET))
    else:
        path = Path(source)
        if path.is_file():
            documents = _from_file(path)
        elif path.suffix.lower() not in _SUFFIXES and _DATASET_NAME.fullmatch(name):
            documents = _from_datasets(name)
        else:
            raise TextError(
                f"read {name}", found="no such file",
                expected="a .txt, .json or .jsonl file, or datasets:NAME",
            )
    documents = [document for document in documents if document.strip()]
    if not documents:
        raise TextError(f"read {name}", found="no text", expected="at least one document")
    return documents


def _text_of(record: Any, name: str, number: int) -> str:
    if isinstance(record, str):
        return record
    if isinstance(record, dict):
        if isinstance(record.get("text"), str):
            return str(record["text"])
        for value in record.values():
            if isinstance(value, str):
                return value
    raise TextError(
        f"read {name}", found=f"record {number} without a text field",
        expected='a string, or an object with a "text" field',
    )


def _from_file(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TextError(
            f"read {path}", found=f"no UTF-8 at byte {error.start}", expected="UTF-8 text"
        ) from error
    except OSError as error:
        raise TextError(
            f"read {path}", found=str(error.strerror), expected="a readable file"
        ) from error
    if path.suffix.lower() not in (".json", ".jsonl"):
        return [text]
    records = _json_records(text, path)
    return [_text_of(record, str(path), number) for number, record in enumerate(records, 1)]


def _json_records(text: str, path: Path) -> list[Any]:
    """The records of a JSON list, of a single JSON object, or of JSON lines."""
    if path.suffix.lower() == ".json":
        try:
            whole = json.loads(text)
            return whole if isinstance(whole, list) else [whole]
        except json.JSONDecodeError:
            pass
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise TextError(
                f"read {path}", found=f"line {number}: {error.msg}",
                expected="one JSON record a line",
            ) from error
    return records


def _from_datasets(name: str) -> list[str]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"read datasets:{name}", found="no datasets library", expected="it installed",
            mend="Run: pip install 'neurosparse[eval]'",
        ) from error
    parts = name.split(":")
    if len(parts) > 3 or not parts[0]:
        raise TextError(
            f"read datasets:{name}", found=f"{len(parts)} parts",
            expected="datasets:NAME, datasets:NAME:CONFIG or datasets:NAME:CONFIG:SPLIT",
        )
    config = parts[1] if len(parts) > 1 and parts[1] else None
    split = parts[2] if len(parts) > 2 and parts[2] else "train"
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if not Path(parts[0]).exists():
            check_reachable(f"read datasets:{name}", TextError)
        table = datasets.load_dataset(parts[0], config, split=split)
        return [_text_of(record, name, number) for number, record in enumerate(table, 1)]
    except TextError:
        raise
    except Exception as error:
        # The library raises its own and its file systems' errors without a common base.
        raise TextError(
            f"read datasets:{name}", found=str(error).strip().splitlines()[0],
            expected="a data set that can be read",
        ) from error
    finally:
        if not bars:
            datasets.enable_progress_bars()
