"""Options that ``profile`` and ``prune`` share."""

from __future__ import annotations

from typing import Annotated

import typer

_TEXT = "Calibration text"
_RUN = "Run"

Model = Annotated[str, typer.Argument(help="Folder, hub id, .gguf file, or smollm2.")]
Calibration = Annotated[str | None, typer.Option(
    help="Text, JSON lines, or a datasets name; the protocol's by default.",
    rich_help_panel=_TEXT)]
Windows = Annotated[int, typer.Option(help="Calibration windows.", rich_help_panel=_TEXT)]
WindowLength = Annotated[int, typer.Option(help="Tokens.", rich_help_panel=_TEXT)]
Seed = Annotated[int | None, typer.Option(
    help="Draw the windows by this seed; else the first.", rich_help_panel=_TEXT)]
Method = Annotated[str, typer.Option(help="wanda, sparsegpt or magnitude.")]
Exclude = Annotated[list[str] | None, typer.Option(
    help="Glob of linears to leave alone; may be repeated.")]
Dtype = Annotated[str, typer.Option(
    help="float32, bfloat16, float16, auto: of the computation.", rich_help_panel=_RUN)]
Products = Annotated[str, typer.Option(
    help="auto: calibration multiplies in bfloat16 where that is fast; own: in --dtype.",
    rich_help_panel=_RUN)]
Device = Annotated[str, typer.Option(help="cpu, cuda ...", rich_help_panel=_RUN)]
BatchSize = Annotated[int, typer.Option(help="Windows a pass.", rich_help_panel=_RUN)]
Stream = Annotated[bool, typer.Option(
    "--stream", help="Read blocks from disk one by one.", rich_help_panel=_RUN)]
Shown = Annotated[str, typer.Option(help="auto, lines or none.", rich_help_panel=_RUN)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_RUN)]
Pattern = Annotated[str | None, typer.Option(
    help="2:4, 4:8 ...: as many of every M neighbours stay; n:8: as the budget says.")]
Values = Annotated[str, typer.Option(
    help="How the weights that stay are stored: bf16, fp16, fp32, int8 or int4.")]
Group = Annotated[int | None, typer.Option(
    help="Columns that share a scale: 32, 64, 128 or 256. int4: 64; int8: the whole row.",
    show_default=False)]
KeepZeros = Annotated[bool, typer.Option(
    "--keep-zeros", help="Weights that are zero stay zero and count among those that go.")]
