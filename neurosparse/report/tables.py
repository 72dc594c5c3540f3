"""The page's tables: results, sizes, and the numbers behind the figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets import Budget, Profile
from neurosparse.report.figure_rates import rate_series
from neurosparse.report.markup import Markup, element, table
from neurosparse.report.numbers import (
    MISSING,
    against,
    duration,
    percent,
    significant,
    size,
    with_error,
)
from neurosparse.report.results import Results, Row, Size


def _bytes_cell(row: Row) -> object:
    if row.bytes is None:
        return MISSING
    what = element("span", row.bytes_what, class_="note") if row.bytes_what else ""
    return element("span", size(row.bytes), what)


def _memory_share(row: Row) -> float | None:
    """Share of the memory's speed, read in the same process, that decoding makes use of."""
    speed = row.core_decode_tokens_per_s or row.decode_tokens_per_s
    if not (row.decode_bytes and speed and row.memory_bytes_per_s):
        return None
    return row.decode_bytes * speed / row.memory_bytes_per_s


_MEASURES: tuple[tuple[str, Callable[[Row], object]], ...] = (
    ("Perplexity ± standard error", lambda row: with_error(row.perplexity, row.perplexity_stderr)),
    ("Size on disk, of what", _bytes_cell),
    ("Peak memory", lambda row: size(row.peak_memory_bytes)),
    ("– of it Python and its libraries", lambda row: size(row.libraries_memory_bytes)),
    ("Prefill, tokens a second", lambda row: significant(row.prefill_tokens_per_s)),
    ("Decode, tokens a second", lambda row: significant(row.decode_tokens_per_s)),
    ("– Python’s share of decode", lambda row: percent(row.decode_python_share, 0)),
    ("Decode in the compiled decoder", lambda row: significant(row.core_decode_tokens_per_s)),
    ("– weights that a step reads", lambda row: size(row.decode_bytes)),
    ("– of what the memory gives", lambda row: percent(_memory_share(row), 0)),
    ("Time to load", lambda row: duration(row.load_s)),
)


def results_table(rows: list[Row]) -> Markup:
    """Measures down, models across; a measure that no model has is left out."""
    body = []
    for name, cell in _MEASURES:
        cells = [cell(row) for row in rows]
        if any(one != MISSING for one in cells):
            body.append([name, *cells])
    return table("Results by model", ["", *(row.name for row in rows)], body)


def references(sizes: list[Size]) -> list[Size]:
    """What sizes are compared with: the first (the file as it came) and every dense form."""
    return [one for place, one in enumerate(sizes) if place == 0 or one.name.startswith("dense")]


def sizes_table(sizes: list[Size]) -> Markup:
    """Each form with a bar and how many times smaller or larger it is than each reference."""
    largest = max(one.bytes for one in sizes)
    compared = references(sizes)
    rows = []
    for one in sizes:
        packed = "packed" if one.name.startswith("packed") else ""
        fill = element("span", class_=packed, style=f"width:{100 * one.bytes / largest:.2f}%")
        bar = element("span", fill, class_="bar", aria_hidden="true")
        exact = element("span", size(one.bytes), title=f"{one.bytes} bytes")
        counted = ("" if one.measured is not False
                   else element("span", "counted exactly, not written", class_="note"))
        rows.append([element("div", element("span", one.name), bar, counted), exact,
                     *(MISSING if one is other else _two_lines(against(one.bytes, other.bytes))
                       for other in compared)])
    return table("Sizes and how they compare", ["", "size", *(f"than {c.name}" for c in compared)],
                 rows, class_="sizes")


def linears_sentence(sizes: list[Size]) -> str:
    """What packing makes of the only part that is pruned; empty where that is not known."""
    known = [one for one in sizes if one.linears_bytes]
    base = next((one for one in known if one.name == "dense bf16"), None)
    packed = [one for one in known if one.name.startswith("packed")]
    if base is None or base.linears_bytes is None or not packed:
        return ""
    said = [f"{one.name} takes {significant((one.linears_bytes or 0) / base.linears_bytes)} of "
            f"dense bf16 ({size(one.linears_bytes)} of {size(base.linears_bytes)})"
            for one in packed]
    return f"In the blocks’ linears alone, the only part that is pruned, {', '.join(said)}."


def _two_lines(said: str) -> Markup:
    """The factor and the word under it may part where the table is narrow."""
    return element("span", said, class_="breaks")


def rates_table(budget: Budget) -> Markup:
    """Blocks down, roles across; a range where a block has several targets of a role."""
    series = rate_series(budget)
    show = (lambda value: percent(value, 2)) if budget.kind == "sparsity" else significant
    cells: dict[int, dict[str, str]] = {}
    for one in series:
        for place, block in enumerate(one.block):
            low, high = float(one.low[place]), float(one.high[place])
            text = show(low) if low == high else f"{show(low)} – {show(high)}"
            cells.setdefault(int(block), {})[one.label] = text
    roles = [one.label for one in series]
    rows = [[block, *(row.get(role, MISSING) for role in roles)]
            for block, row in sorted(cells.items())]
    return table("Value of each target", ["block", *roles], rows, class_="dense")


def curves_table(profile: Profile) -> Markup:
    """Levels down, roles across: median over blocks, with the range."""
    assert profile.curves is not None
    roles = list(dict.fromkeys(profile.roles))
    member = np.asarray(profile.roles, object)
    rows: list[list[object]] = []
    for place, level in enumerate(profile.curves.levels):
        row: list[object] = [percent(float(level), 0)]
        for role in roles:
            values = profile.curves.error[member == role, place]
            values = values[np.isfinite(values)]
            row.append(f"{significant(float(np.median(values)), 2)} "
                       f"({significant(float(values.min()), 2)} – "
                       f"{significant(float(values.max()), 2)})" if values.size else MISSING)
        rows.append(row)
    return table("Local error by role: median over blocks (range)", ["sparsity", *roles], rows,
                 class_="dense")


def depth_table(error: NDArray[np.float64]) -> Markup:
    """Relative squared error after each block."""
    rows = [[block, significant(float(value), 4)] for block, value in enumerate(error)]
    return table("Relative squared error of the hidden state", ["after block", "error"], rows,
                 class_="dense")


def windows_table(results: Results) -> Markup | None:
    """Negative log-likelihood by window, where two rows share their windows."""
    pair = results.pair()
    if pair is None:
        return None
    dense, packed = pair
    both = zip(dense.nll_by_window or [], packed.nll_by_window or [], strict=True)
    rows = [[place, f"{a:.4f}", f"{b:.4f}", f"{b - a:+.4f}".replace("-", "−")]
            for place, (a, b) in enumerate(both, start=1)]
    return table("Nats a token by window", ["window", dense.name, packed.name, "difference"], rows,
                 class_="dense")
