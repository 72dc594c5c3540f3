"""The report: one self-contained HTML file from the files of a run."""

from __future__ import annotations

from pathlib import Path

from neurosparse._version import __version__
from neurosparse.files import write_text
from neurosparse.report import sections
from neurosparse.report.markup import Markup, element, html, join
from neurosparse.report.provenance import provenance_section
from neurosparse.report.reading import Evidence, read_folder
from neurosparse.report.style import style_sheet
from neurosparse.report.tiles import lead, tiles

NAME = "report.html"

_NAVIGATION = (
    ("results", "Results"), ("perplexity", "Perplexity"), ("sizes", "Sizes"), ("rates", "Rates"),
    ("curves", "Error curves"), ("depth", "Error through depth"), ("sample", "Sample"),
    ("made", "How it was made"),
)
# Nothing is loaded and nothing is run, whatever a file of the run may contain.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write(folder: str | Path) -> Path:
    """Write ``report.html`` into a folder, from ``run.json``, ``budget.json`` and ``profile.h5``.

    The page needs nothing but itself: no network, no script. Equal files give equal bytes. A file
    that is absent leaves its figures out, and the page says so.

    Parameters
    ----------
    folder
        What ``neurosparse compress --out`` left.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InputError
        There is no such folder, or none of the three files is in it.
    FormatError
        A file is damaged, of another kind, or of an unknown version. Nothing is written.
    StorageError
        The page cannot be written.
    """
    target = Path(folder) / NAME
    write_text(target, render(read_folder(folder)))
    return target


def render(evidence: Evidence) -> str:
    """The page as text."""
    results = evidence.results
    model = results.model or _identity(evidence) or "a sparse model"
    parts = (
        sections.results_section(evidence),
        sections.perplexity_section(evidence),
        sections.sizes_section(evidence),
        sections.rates_section(evidence),
        sections.curves_section(evidence),
        sections.depth_section(evidence),
        sections.sample_section(evidence),
        sections.notes_section(results.notes),
        provenance_section(evidence),
    )
    navigation = element("nav", element("ul", *(
        element("li", element("a", name, href=f"#{key}")) for key, name in _NAVIGATION
    )), aria_label="Parts of this report")
    header = element("header", element("p", "neurosparse report", class_="kind"),
                     element("h1", model), element("p", lead(results), class_="lead"), navigation)
    footer = element("footer", f"Made by neurosparse {__version__} from the files beside it.")
    return _document(f"{model} – neurosparse report",
                     join((header, element("main", tiles(results), *parts), footer), "\n"))


def _identity(evidence: Evidence) -> str | None:
    if evidence.profile is not None and evidence.profile.model.get("name"):
        return str(evidence.profile.model["name"])
    return next((budget.model.name for budget in evidence.budgets if budget.model), None)


def _document(title: str, body: Markup) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html(title)}</title>\n<style>\n{style_sheet()}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )
