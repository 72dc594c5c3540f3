"""The table that ends a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MEGA = 1e6


def print_results(results: dict[str, Any], *, folder: str) -> None:
    """Print dense against packed, sizes, three lines of Python, and a sample of the text."""
    console = Console()
    rate = results["sparsity"]
    console.print(f"\n[bold]{results['model']}[/bold]: {rate['kept']:.2%} of the blocks' weights "
                  f"taken away ({results['method']}, rule {results['rule']['name']})")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "perplexity", "size\nMB", "memory\nMB", "prefill\ntok/s", "decode\ntok/s",
                 "Python\nshare", "core\ntok/s"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in results["rows"]:
        table.add_row(
            row["name"],
            _error(row.get("perplexity"), row.get("perplexity_stderr")),
            _number(row["bytes"], MEGA), _number(row.get("peak_memory_bytes"), MEGA),
            _number(row.get("prefill_tokens_per_s")), _number(row.get("decode_tokens_per_s")),
            f"{row['decode_python_share']:.0%}" if row.get("decode_python_share") else "-",
            _number(row.get("core_decode_tokens_per_s")),
        )
    console.print(table)
    libraries = min((row["libraries_memory_bytes"] for row in results["rows"]
                     if row.get("libraries_memory_bytes")), default=0)
    console.print(f"Memory: peak of a process that loads and generates, {libraries / MEGA:.0f} MB "
                  "of it Python and its libraries.\nPython share: of decode time, outside torch's "
                  "operators; core: decode in the compiled decoder.", style="dim")
    difference = results["paired"]
    console.print(f"Paired difference, packed less dense: {difference['difference']:.3f} "
                  f"+- {difference['stderr']:.3f} nats a token")
    base = results["sizes"][0]["bytes"]
    for row in results["sizes"]:
        console.print(f"  {row['name']:<34} {row['bytes'] / MEGA:9.1f} MB  "
                      f"{row['bytes'] / base:6.2f} of the file as it came")
    for note in results["notes"]:
        console.print(f"note: {note}", markup=False)
    sample = results.get("sample")
    if sample:
        console.print("\n[bold]A sample of its text[/bold]")
        console.print(sample["prompt"] + sample["text"], markup=False, style="italic")
    console.print("\n[bold]Use it[/bold]")
    print(f'import neurosparse as ns\nmodel = ns.sparse.load("{Path(folder) / "model"}")'
          f"\n# model.generate(...) as ever; the report is {Path(folder) / 'report.html'}")


def _number(value: float | None, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:.1f}"


def _error(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" + (f" +- {error:.2f}" if error is not None else "")
