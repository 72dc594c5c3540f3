"""Check the floors of the house: ``python tests/lint_imports.py``.

import-linter looks for a package's files where the import system says they are, and an editable
install of meson-python answers with a place that does not exist. Without that finder the package
is the folder beside this one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from importlinter.cli import lint_imports


def main() -> int:
    """Return import-linter's exit code."""
    root = Path(__file__).resolve().parent.parent
    sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__module__]
    sys.path.insert(0, str(root))
    return lint_imports(config_filename=str(root / "pyproject.toml"))


if __name__ == "__main__":
    sys.exit(main())
