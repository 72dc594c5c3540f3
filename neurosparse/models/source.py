"""From the name that a user gives to the files behind it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosparse.errors import FormatError, InputError
from neurosparse.files import read_json
from neurosparse.models.aliases import ALIASES, find
from neurosparse.models.gguf_header import read_gguf_header
from neurosparse.models.network import check_reachable
from neurosparse.models.shards import DTYPES, StoredTensor, read_headers

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_BESIDE = ("*.json", "*.model", "*.txt", "*.jinja")


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Parameters
    ----------
    name
        As asked for.
    kind
        ``"alias"``, ``"gguf"``, ``"folder"`` or ``"hub"``.
    path
        Folder that holds the files.
    gguf_file
        Name of the GGUF file in it, or None.
    bytes
        Size of the weights as they came.
    description
        ``"GGUF Q4_1"``, ``"safetensors bfloat16"``.
    """

    name: str
    kind: str
    path: Path
    gguf_file: str | None
    bytes: int
    description: str


def resolve(name: str | Path) -> ModelSource:
    """Find the files behind a name and check their headers; no weights are loaded.

    Parameters
    ----------
    name
        An alias (``"smollm2"``, ``"gemma3-270m"``, ``"qwen2.5-coder-1.5b"``) unless a model of that
        name lies here, a folder with ``config.json`` and safetensors files, a ``.gguf`` file, or a
        hub id ``"owner/model"`` (downloaded if it is not in the local cache: safetensors,
        configuration and tokenizer only).

    Raises
    ------
    InputError
        No such file or folder, no ``config.json`` in the folder, an alias whose package is not
        installed, a hub id that cannot be reached, or a name of no known kind.
    FormatError
        A file is cut short, damaged, or not of the kind that its name says.
    """
    asked = str(name)
    # A folder of results that was called after the model does not hide it.
    here = Path(asked)
    if asked in ALIASES and not here.is_file() and not (here / "config.json").exists():
        return _gguf(asked, "alias", find(asked))
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(asked, "folder", path)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise InputError(
                f"load {asked}", found=f"a {path.suffix or 'suffixless'} file",
                expected="a folder or a .gguf file",
                mend="Give the folder that holds config.json and the safetensors files.",
            )
        return _gguf(asked, "gguf", path)
    if path.suffix.lower() == ".gguf" or path.is_absolute() or asked.startswith((".", "~")):
        raise InputError(
            f"load {asked}", found="no such file or folder", expected="a folder or a .gguf file"
        )
    if _HUB_ID.fullmatch(asked):
        return _folder(asked, "hub", _snapshot(asked))
    raise InputError(
        f"load {asked}", found="no such file or folder, and no alias of that name",
        expected=f"a folder, a .gguf file, a hub id owner/model, or {', '.join(sorted(ALIASES))}",
    )


def _gguf(name: str, kind: str, path: Path) -> ModelSource:
    header = read_gguf_header(path)
    return ModelSource(
        name=name, kind=kind, path=path.parent, gguf_file=path.name,
        bytes=path.stat().st_size, description=f"GGUF {header.quantisation}",
    )


def _folder(name: str, kind: str, path: Path) -> ModelSource:
    if not (path / "config.json").is_file():
        raise InputError(
            f"load {name}", found="a folder without config.json",
            expected="a Hugging Face model folder",
        )
    config = read_json(path / "config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise FormatError(
            f"load {name}", found='a config.json without "model_type"',
            expected="the configuration of a transformers model",
        )
    tensors = read_headers(path)
    files = {stored.path for stored in tensors.values()}
    return ModelSource(
        name=name, kind=kind, path=path, gguf_file=None,
        bytes=sum(file.stat().st_size for file in files),
        description=f"safetensors {_commonest_dtype(tensors)}",
    )


def _commonest_dtype(tensors: dict[str, StoredTensor]) -> str:
    """The dtype of most bytes, as torch names it."""
    nbytes: Counter[str] = Counter()
    for stored in tensors.values():
        nbytes[stored.dtype] += stored.nbytes
    if not nbytes:
        return "without tensors"
    name = nbytes.most_common(1)[0][0]
    return str(DTYPES[name]).removeprefix("torch.") if name in DTYPES else name


def _snapshot(name: str) -> Path:
    """The local copy of a hub model, downloaded if need be."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns: dict[str, Any] = {"allow_patterns": [*_WEIGHTS, *_BESIDE]}
    try:
        found = Path(huggingface_hub.snapshot_download(name, local_files_only=True, **patterns))
        if any(found.glob("*.safetensors")):
            return found
    except LocalEntryNotFoundError:
        pass
    check_reachable(f"load {name}", InputError)
    try:
        return Path(huggingface_hub.snapshot_download(name, **patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"load {name}", found=str(error).strip().splitlines()[0],
            expected="a model on the hub that you may read",
            mend="Check the name; a gated model needs `hf auth login`.",
        ) from error
