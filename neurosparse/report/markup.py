"""HTML from values: text that comes from files is always escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """HTML that is ready; every other string is text and is escaped on its way in."""

    __slots__ = ()


def html(value: object) -> Markup:
    """``value`` as HTML: unchanged if it is markup, escaped otherwise."""
    return value if isinstance(value, Markup) else Markup(escape(str(value), quote=True))


def element(tag: str, *content: object, **attributes: str) -> Markup:
    """``<tag attributes>content</tag>``; ``class_`` stands for ``class``, ``_`` for ``-``."""
    names = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html(value)}"'
        for name, value in attributes.items() if value
    )
    return Markup(f"<{tag}{names}>{join(content)}</{tag}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Parts one after another, each escaped unless it is markup."""
    return Markup(between.join(html(part) for part in parts))


def table(caption: str, head: Sequence[object], rows: Sequence[Sequence[object]], *,
          class_: str = "") -> Markup:
    """A table with column and row headers, in a box that scrolls sideways where it is too wide.

    The first cell of each row is its header. The caption names the table for those who do not see
    what stands around it.
    """
    columns = join(element("th", cell, scope="col") for cell in head)
    body = join(
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    )
    inside = (element("caption", caption) + element("thead", element("tr", columns))
              + element("tbody", body))
    return element("div", element("table", Markup(inside), class_=class_), class_="scroll",
                   role="region", aria_label=caption, tabindex="0")


def pairs(rows: Sequence[tuple[object, object]]) -> Markup:
    """A list of names and values."""
    return element("dl", *(
        element("div", element("dt", name), element("dd", value)) for name, value in rows
    ))


def details(summary: str, *content: object) -> Markup:
    """Something to open."""
    return element("details", element("summary", summary), *content)
