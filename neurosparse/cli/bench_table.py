"""The tables of ``neurosparse bench``."""

from __future__ import annotations

from typing import Any

from neurosparse.cli.show import print_table


def print_bench(found: dict[str, Any]) -> None:
    """Print speeds by memory mode, then bytes, memory and times by model."""
    names = list(found["models"])
    for name, what in found["models"].items():
        print(f"{name}: {what}")
    threads = "1 thread" if found["threads"] == 1 else f"{found['threads']} threads"
    print(f"{threads}, level {found['level']}, {found['dtype']}, prompt {found['prompt']} tokens, "
          f"{found['steps']} steps in turns; {found['loop']}")
    if found["load"] > 1.25:
        print(f"note: {found['load']:.1f} processes a core wanted to run: others took time, and "
              "the modes may be theirs")
    for note in found["notes"]:
        print(f"note: {note}")
    _speeds(found["summaries"], names)
    _rest(found, names)


def _speeds(summaries: list[dict[str, Any]], names: list[str]) -> None:
    rows: list[tuple[str, ...]] = []

    def add(title: str, values: list[dict[str, Any] | None], digits: int, scale: float = 1.0
            ) -> None:
        rows.append((title, *(_part(value, ("median",), digits, scale) for value in values)))

    def spread(values: list[dict[str, Any] | None], digits: list[int]) -> None:
        rows.append(("  quartiles", *(_part(value, ("low", "high"), number, 1.0)
                                      for value, number in zip(values, digits, strict=True))))

    for one in summaries:
        speeds = [one["speed"].get(name) for name in names]
        mode = "" if one["mode"] == "one" else f", {one['mode']} mode"
        ratio = _part(one["ratio"], ("median",), 2, 1.0)
        add(f"{one['kind']}, tokens/s{mode}", speeds, 1)
        rows[-1] += (ratio,)
        spread([*speeds, one["ratio"]], [1] * len(names) + [2])
        turns = [str(value["count"]) if value else "-" for value in speeds]
        rows.append(("  turns", *turns, str(one["ratio"]["count"]) if one["ratio"] else "-"))
        middle, quartiles = (_part(one["bandwidth"], parts, 1, 1e-9)
                             for parts in (("median",), ("low", "high")))
        rows.append((f"  memory then: {middle} GB/s ({quartiles})", *[""] * (len(names) + 1)))
        if one["share"]:
            add("  share of it that weights take, %", [one["share"].get(n) for n in names], 0, 100)
            rows[-1] += ("",)
    heads = ("", *map(_short, names), "ratio" if len(names) > 1 else "")
    print_table("Speed, medians over turns", heads, rows)


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"...{name[-13:]}"


def _rest(found: dict[str, Any], names: list[str]) -> None:
    start = found["start"]

    def row(title: str, cells: list[str]) -> tuple[str, ...]:
        return (title, *cells)

    def started(title: str, key: str, scale: float, digits: int) -> None:
        cells = [_number(start.get(name, {}).get(key), scale, digits) for name in names]
        rows.append(row(title, cells))

    moved = found["moved"]
    rows = [row("weights a step reads, MB", [f"{moved[n]['all'] / 1e6:.1f}" for n in names])]
    rows += [row(f"  of them {part}", [f"{moved[n][part] / 1e6:.1f}" for n in names])
             for part in ("packed", "dense", "head")]
    whole = "a step without a graph, ms" if found["loop"].startswith("graph") else (
        "a step of decode, ms")
    for title, part in ((whole, "all"), ("  linears of the blocks", "linears"),
                        ("  head", "head"), ("  all between", "rest")):
        rows.append(row(title, [f"{1e3 * found['parts'][n][part]:.1f}" for n in names]))
    rows.append(row("Python's share of decode", [f"{found['python'][n]:.0%}" for n in names]))
    if start:
        started("first token, s", "first_token_s", 1, 2)
        started("  loading", "load_s", 1, 2)
        started("  prompt", "prompt_s", 1, 2)
        started("  processor time of both", "cpu_s", 1, 2)
        started("hashing by itself, s", "hash_s", 1, 2)
        started("peak memory, MB", "peak_memory_bytes", 1e-6, 0)
        started("  of it Python and libraries", "libraries_memory_bytes", 1e-6, 0)
    print_table("By model", ("", *map(_short, names)), rows)


def _part(value: dict[str, Any] | None, parts: tuple[str, ...], digits: int, scale: float) -> str:
    if value is None:
        return "-"
    return "-".join(f"{scale * value[part]:.{digits}f}" for part in parts)


def _number(value: float | None, scale: float, digits: int) -> str:
    return "-" if value is None else f"{scale * value:.{digits}f}"
