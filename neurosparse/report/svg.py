"""A matplotlib figure as SVG that lives inside a page: small, repeatable, light and dark."""

from __future__ import annotations

import io
import re
from html import escape

from matplotlib.figure import Figure

from neurosparse.report.theme import COLOURS, settings

_NAME_OF = {pair[0]: name for name, pair in COLOURS.items()}
_HEX = re.compile(r"#([0-9a-f]{6})(?![0-9a-f])")
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def inline(figure: Figure, *, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page.

    Colours of the theme become CSS variables, so that the page chooses light or dark; text stays
    text; nothing in it depends on the time, on a random number or on another page.

    Parameters
    ----------
    name
        Salt of the ids inside the SVG: different for every figure of a page.
    alt
        What the figure shows, for a reader who does not see it.
    """
    buffer = io.StringIO()
    with settings(**{"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = _HEX.sub(_variable, text)
    # Ids such as "axes_1" repeat from figure to figure; those that something refers to do not.
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found.group(0) if found.group(1) in used else "",
                  text)
    text = re.sub(r'(<text [^>]*style=")font: ([0-9.]+px)[^;"]*', r"\1font-size: \2", text)
    text = re.sub(r'(<text [^>]*style=")font: bold ([0-9.]+px)[^;"]*', _bold, text)
    box = re.search(r'viewBox="([^"]+)"', text)
    inside = text[text.index(">") + 1 :]
    view = box.group(1) if box else "0 0 1 1"
    return (
        f'<svg class="plot" viewBox="{view}" role="img" aria-label="{escape(alt, quote=True)}">'
        f"{inside.strip()}"
    )


def _variable(match: re.Match[str]) -> str:
    name = _NAME_OF.get(match.group(0))
    return f"var(--{name})" if name else match.group(0)


def _bold(match: re.Match[str]) -> str:
    return f"{match.group(1)}font-weight: 600; font-size: {match.group(2)}"
