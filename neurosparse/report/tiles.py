"""The first look: four figures, each with what it is compared with."""

from __future__ import annotations

from neurosparse.report.markup import Markup, element
from neurosparse.report.numbers import against, percent, significant, size, with_error
from neurosparse.report.results import Results, Row


def tiles(results: Results) -> Markup:
    """Perplexity, size, decode speed and memory of the packed model, as far as they are known."""
    packed = next((row for row in results.rows if row.packed), None)
    dense = [row for row in results.rows if not row.packed]
    if packed is None:
        return Markup("")
    every = [_perplexity(packed, dense), _size(packed, results), _decode(packed, dense),
             _memory(packed, dense)]
    shown = [tile for tile in every if tile]
    return element("div", *shown, class_="tiles") if shown else Markup("")


def _tile(title: str, value: str, *below: str) -> Markup:
    lines = [line.replace(" ± ", "\u00a0±\u00a0") for line in below if line]
    return element("div", element("h2", title), element("p", value, class_="value"),
                   *(element("p", line) for line in lines), class_="tile")


def _perplexity(packed: Row, dense: list[Row]) -> Markup | None:
    if packed.perplexity is None:
        return None
    before = next((row for row in dense if row.perplexity is not None), None)
    below = (f"{before.name}: {with_error(before.perplexity, before.perplexity_stderr)}"
             if before else "")
    return _tile("Perplexity", with_error(packed.perplexity, packed.perplexity_stderr), below)


def _size(packed: Row, results: Results) -> Markup | None:
    if packed.bytes is None:
        return None
    lines = [f"{against(packed.bytes, one.bytes)} than {one.name}" for place, one in
             enumerate(results.sizes) if place == 0 or one.name == "dense bf16"]
    return _tile(f"Size, {packed.bytes_what or packed.name}", size(packed.bytes),
                 *dict.fromkeys(lines))


def _decode(packed: Row, dense: list[Row]) -> Markup | None:
    if not packed.decode_tokens_per_s:
        return None
    # Against the best dense there is, never against a slow one.
    best = max((row for row in dense if row.decode_tokens_per_s),
               key=lambda row: row.decode_tokens_per_s or 0.0, default=None)
    below = ""
    if best is not None and best.decode_tokens_per_s:
        factor = significant(packed.decode_tokens_per_s / best.decode_tokens_per_s)
        below = (f"{factor}× the speed of the fastest dense ({best.name}, "
                 f"{significant(best.decode_tokens_per_s)})")
    return _tile("Decode", f"{significant(packed.decode_tokens_per_s)} tokens/s", below)


def _memory(packed: Row, dense: list[Row]) -> Markup | None:
    if packed.peak_memory_bytes is None:
        return None
    least = min((row for row in dense if row.peak_memory_bytes),
                key=lambda row: row.peak_memory_bytes or 0, default=None)
    below = (f"{against(packed.peak_memory_bytes, least.peak_memory_bytes)} than {least.name} "
             f"({size(least.peak_memory_bytes)})") if least and least.peak_memory_bytes else ""
    return _tile("Peak memory", size(packed.peak_memory_bytes), below)


def lead(results: Results) -> str:
    """The sentence under the title."""
    kept = results.sparsity.kept if results.sparsity.kept is not None else results.sparsity.asked
    said = []
    if kept is not None:
        said.append(f"{percent(kept)} of the weights in its blocks’ linears removed")
    if results.method:
        said.append(f"by {results.method}")
    if results.rule.get("name"):
        said.append(f"with the {results.rule['name']} rule")
    return " ".join(said) + "." if said else ""
