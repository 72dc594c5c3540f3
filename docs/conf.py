"""Sphinx settings; ``make docs`` builds with warnings as errors."""

from __future__ import annotations

import re
from typing import Any

from sphinx.addnodes import pending_xref

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


_LITERAL = re.compile(r"(``[^`]+``)")


def _plain_bars(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """|x| is a modulus and ``q``² a square: reST would see a substitution and an open literal."""
    block: int | None = None
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent <= block:
            block = None
        if block is None and not line.lstrip().startswith((">>>", "...")):
            parts = _LITERAL.split(line)
            for at in range(0, len(parts), 2):
                parts[at] = parts[at].replace("|", r"\|")
                if at and parts[at][:1].isalnum():
                    parts[at] = "\\ " + parts[at]
            lines[number] = "".join(parts)
        if block is None and line.rstrip().endswith("::"):
            block = indent


def _words_are_words(app: Any, doctree: Any) -> None:
    """A type such as "floats of shape [T]" is prose: no search for whatever is called shape."""
    for node in doctree.findall(pending_xref):
        target = node.get("reftarget", "")
        if (node.get("refdomain") == "py" and node.get("refspecific") and target.isidentifier()
                and target.islower()):
            del node["refspecific"]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("doctree-read", _words_are_words)
    # after napoleon, which connects at 500
    app.connect("autodoc-process-docstring", _plain_bars, priority=800)
    app.connect("autodoc-process-signature", _short_arrays)
