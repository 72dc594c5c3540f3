"""The scripts of benchmarks/gpu as modules, for tests in processes of their own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"
NAMES = sorted(path.stem for path in FOLDER.glob("bench_*.py"))


def module(name: str) -> ModuleType:
    """Import a script as ``python benchmarks/gpu/<name>.py`` finds its neighbours."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)
