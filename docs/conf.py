"""Sphinx settings; ``make docs`` builds with warnings as errors."""

from __future__ import annotations

import re
from typing import Any

from neurosparse._version import __version__

project = "neurosparse"
author = "the neurosparse authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
highlight_language = "text"

# No mathematics in TeX: it would ask another server for its script. Formulas are plain text.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"exclude-members": "model_config"}
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"neurosparse {version}"
html_show_copyright = False

_ARRAY = re.compile(r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], "
                    r"~?(?:numpy\.)?dtype\[(?:~?(?:typing|numpy)\.)?(\w+)\]\]")


def _short_arrays(app: Any, what: str, name: str, item: Any, options: Any, signature: str | None,
                  returns: str | None) -> tuple[str | None, str | None]:
    """``NDArray[float64]`` as it stands in the source, not what NumPy makes of it."""
    return (signature and _ARRAY.sub(r"NDArray[\1]", signature),
            returns and _ARRAY.sub(r"NDArray[\1]", returns))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _short_arrays)
