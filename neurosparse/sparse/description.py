"""What ``config.json`` says of a packed model, under ``quantization_config``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurosparse import kernels
from neurosparse.errors import FormatError
from neurosparse.files import read_json
from neurosparse.sparse.kinds import GROUPED, VALUES
from neurosparse.sparse.names import lengthen, shorten

METHOD = "neurosparse"
FORMAT = "bitmap"
VERSION = 1
GROUPED_VERSION = 2
"""Of folders with a scale for every group of columns, which version 1 does not know."""
ORDER = "rows"
ALL = "all"
_KNOWN = {"quant_method", "format", "version", "values", "order", "packed", "sha256",
          "vocabulary"}
_VALUES = {VERSION: tuple(kind for kind in VALUES if kind != "int4"), GROUPED_VERSION: GROUPED}


def describe(values: str, packed: Iterable[str], *, complete: bool = False,
             sha256: dict[str, str] | None = None, vocabulary: str | None = None,
             group: int | None = None) -> dict[str, Any]:
    """The JSON object of a packed model.

    Parameters
    ----------
    values
        Kind of the values.
    packed
        Names of the packed matrices.
    complete
        They are all the targets of all blocks: said without a list.
    sha256
        Hash of every shard by file name.
    vocabulary
        ``"int8"`` where embedding and head are; else no entry.
    group
        Columns that share a scale, if not a row does.
    """
    found: dict[str, Any] = {
        "quant_method": METHOD, "format": FORMAT, "version": VERSION, "values": values,
        "order": ORDER, "packed": ALL if complete else shorten(packed),
    }
    if group is not None:
        found |= {"version": GROUPED_VERSION, "group": group}
    if sha256 is not None:
        found["sha256"] = sha256
    if vocabulary is not None:
        found["vocabulary"] = vocabulary
    return found


_MENDS = {"version": "Use a newer neurosparse.",
          "quant_method": "It was not packed by neurosparse: neurosparse.models.load reads others, "
                          "those cut by prune --structured too."}


def check_description(found: dict[str, Any], *, where: str = "config.json") -> None:
    """Refuse what this version cannot read.

    Raises
    ------
    FormatError
        Another method, format, version, kind of values or order; unknown or ill-typed entries.
    """
    version = found.get("version")
    kinds = _VALUES.get(version, VALUES) if isinstance(version, int) else VALUES
    wanted: dict[str, tuple[Any, ...]] = {
        "quant_method": (METHOD,), "format": (FORMAT,), "version": tuple(_VALUES),
        "values": kinds, "order": (ORDER,)}
    for name, known in wanted.items():
        value = found.get(name)
        if isinstance(value, bool) or value not in known:
            mend = _MENDS.get(name, "")
            raise FormatError(f"read {where}", found=f"{name}={value!r}",
                              expected=" or ".join(repr(item) for item in known), mend=mend)
    group = found.get("group")
    sizes = kernels.GROUPS if version == GROUPED_VERSION else (None,)
    if isinstance(group, bool | float) or group not in sizes:
        raise FormatError(f"read {where}", found=f"group={group!r} of version {version}",
                          expected=" or ".join(str(size) for size in sizes))
    unknown = sorted(set(found) - _KNOWN - {"group"})
    if unknown:
        raise FormatError(f"read {where}", found=f"unknown entries {unknown}",
                          expected=f"entries of version {version}")
    if found.get("vocabulary") not in (None, "int8"):
        raise FormatError(f"read {where}", found=f"vocabulary={found['vocabulary']!r}",
                          expected="'int8', or no such entry", mend="Use a newer neurosparse.")
    packed, sha256 = found.get("packed"), found.get("sha256")
    names = packed == ALL or (isinstance(packed, list)
                              and all(isinstance(name, str) for name in packed))
    if not names:
        raise FormatError(f"read {where}", found=f"packed={packed!r}",
                          expected=f"{ALL!r} or a list of names")
    hashes = sha256 is None or (isinstance(sha256, dict)
                                and all(isinstance(text, str) for text in sha256.values()))
    if not hashes:
        raise FormatError(f"read {where}", found=f"sha256={sha256!r}",
                          expected="a hash for every file")


def check_names(found: dict[str, Any], names: Iterable[str], every: Iterable[str], *, where: str
                ) -> None:
    """Refuse a file whose packed matrices are not those that the configuration names.

    Parameters
    ----------
    found
        The description.
    names
        What the files hold packed.
    every
        All linears of the blocks, which are told in one word.

    Raises
    ------
    FormatError
        A name too many or too few.
    """
    there = set(names)
    if found["packed"] == ALL:
        # by their number: a model without its head has other names for the same linears
        told = set(every)
        if len(told) != len(there):
            named = f", not {min(told ^ there)}" if told & there else ""
            raise FormatError(f"read {where}", found=f"{len(there)} packed matrices{named}",
                              expected=f"{len(told)}, all linears of the blocks of config.json")
        return
    told = set(lengthen(found["packed"]))
    if told != there:
        first = sorted(told ^ there)[0]
        raise FormatError(f"read {where}", found=f"packed matrices that differ in {first}",
                          expected=f"the {len(told)} that config.json names")


def read_description(folder: str | Path) -> dict[str, Any]:
    """The checked ``quantization_config`` of a folder.

    Raises
    ------
    InputError
        No ``config.json``.
    FormatError
        Not JSON, not a packed model, or one that this version cannot read.
    """
    path = Path(folder) / "config.json"
    config = read_json(path)
    found = config.get("quantization_config") if isinstance(config, dict) else None
    if not isinstance(found, dict):
        raise FormatError(f"read {path}", found="no quantization_config",
                          expected="a model that neurosparse packed")
    check_description(found, where=str(path))
    return found


def is_packed(folder: str | Path) -> bool:
    """Whether a folder says that it holds a packed model (which may still be broken)."""
    path = Path(folder) / "config.json"
    try:
        config = read_json(path)
    except (FormatError, OSError, ValueError):
        return False
    found = config.get("quantization_config") if isinstance(config, dict) else None
    return isinstance(found, dict) and found.get("quant_method") == METHOD
