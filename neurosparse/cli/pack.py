"""``neurosparse pack``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli.progress import shown
from neurosparse.cli.show import print_json, print_table

if TYPE_CHECKING:
    from neurosparse.pipeline import PackReport


def command(
    model: Annotated[str, typer.Argument(
        help="Pruned model: folder, hub id, .gguf file; or a packed folder, to change its kind "
             "of values.")],
    values: of.Values = "bf16", group: of.Group = None,
    rounding: Annotated[str, typer.Option(
        help="nearest; or gptq: by the inputs of calibration text (int8, int4).")] = "nearest",
    calibration: of.Calibration = None, windows: of.Windows = 16,
    window_length: of.WindowLength = 512,
    vocabulary: Annotated[str, typer.Option(
        help="Embedding and head: int8, dense, or auto (int8 where the values are).")] = "auto",
    out: Annotated[str, typer.Option(help="Folder of the packed model.")] = "packed",
    max_shard: Annotated[float, typer.Option(
        help="Bytes of one file at most (2e9).")] = 5e9,
    dtype: Annotated[str, typer.Option(
        help="float32, bfloat16, float16, auto: in which a dense model is read.")] = "auto",
    stream: of.Stream = False,
    overwrite: Annotated[bool, typer.Option(
        "--overwrite", help="Replace a packed model in --out.")] = False,
    dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="Count the sizes, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Store a pruned model small: a bitmap and the weights that stayed."""
    from neurosparse.pipeline import Rounding, pack_step

    how = Rounding(rounding, calibration, windows, window_length)
    with shown(progress) as see:
        found = pack_step(model, out, values=values, dtype=dtype, stream=stream,
                          max_shard_bytes=max_shard, overwrite=overwrite, write=not dry_run,
                          vocabulary=vocabulary, group_size=group, rounding=how, progress=see)
    if as_json:
        print_json(found.as_dict())
        return
    _print(found)
    print("Nothing was written." if dry_run else
          f'\nimport neurosparse as ns\nmodel = ns.sparse.load("{out}")'
          f"\n# neurosparse generate {out} --prompt ...; neurosparse bench {out}")


def _print(found: PackReport) -> None:
    print(f"{found.model} ({found.source}): {found.zeros / found.weights:.2%} of {found.weights:,} "
          f"weights in {found.matrices} matrices are gone; {found.packed_matrices} get packed")
    wide = "fp32" if found.values == "fp32" else "fp16" if found.values == "fp16" else "bf16"
    whole = found.dense + found.rest_dense

    def row(name: str, size: int, dense: int | None) -> tuple[str, str, str, str]:
        return (name, f"{size / 1e6:.1f}", "" if dense is None else f"{size / dense:.3f}",
                f"{size / found.source_bytes:.3f}")

    groups = "" if found.group_size is None else f" in groups of {found.group_size}"
    rows = [row(f"packed matrices, {found.values}{groups}", found.packed, found.dense),
            row(f"the rest, {wide}" + (", vocabulary int8" if found.vocabulary else ""),
                found.rest, found.rest_dense),
            row("together", found.packed + found.rest, whole),
            row(f"the same dense, {wide}", whole, whole)]
    if found.folder is not None:
        rows.append(row("whole folder", found.folder, None))
    print_table("", ("", "MB", f"of dense {wide}", "of what came"), rows)
    for note in found.notes:
        print(f"note: {note}")
