"""``neurosparse eval``."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from neurosparse.cli.progress import shown


def command(
    model: Annotated[str, typer.Argument(help="Packed folder, or what compress takes.")],
    report_text: Annotated[str | None, typer.Option(
        help="Text, JSON lines, or a datasets name; the protocol's report side by default.")]
    = None,
    windows: Annotated[int, typer.Option(help="Windows of the perplexity.")] = 64,
    window_length: Annotated[int, typer.Option(help="Tokens.")] = 512,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "float32",
    device: Annotated[str, typer.Option()] = "cpu",
    tasks: Annotated[bool, typer.Option(
        "--tasks", help="Also the accuracy of the offline choice task.")] = False,
    choices: Annotated[int, typer.Option(help="Items of the choice task.")] = 2000,
    language: Annotated[str, typer.Option(help="en, fr or es: of the protocol's text.")] = "en",
    stream: Annotated[bool, typer.Option("--stream", help="Read blocks from disk one by one.")]
    = False,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Time generation.")] = True,
    seed: Annotated[int | None, typer.Option(
        help="Draw the windows by this seed; else the first.")] = None,
    out: Annotated[str | None, typer.Option(help="Also write a run record here (JSON).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will do.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    tokens: Annotated[str | None, typer.Option(hidden=True)] = None,
    progress: Annotated[str, typer.Option(help="auto, lines or none.")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Perplexity with its error, speed, and peak memory of a model, dense or packed."""
    from neurosparse.measure import choice_items
    from neurosparse.pipeline import evaluate
    from neurosparse.pipeline.evaluate import read_windows
    from neurosparse.pipeline.texts import report_windows, too_few
    from neurosparse.records import RunRecord

    if dry_run:
        print(f"Load {model} in {dtype}, generate 48 tokens" + " (timed)" * speed
              + f", perplexity of {windows} windows of {window_length} tokens. Nothing was run.")
        return
    record = RunRecord("eval", arguments={"model": model, "dtype": dtype, "windows": windows,
                                          "window_length": window_length, "device": device},
                       seeds={"windows": seed})
    with shown(progress) as see, record.timed("evaluate"):
        if tokens is not None:
            given = read_windows(tokens)
            report, prompt = given.get("report"), given.get("prompt")
        else:
            report, record.data = report_windows(model, report_text, windows, window_length, seed,
                                                 language=language)
            prompt = report[:1, : window_length // 2]
        found = evaluate(model, report, prompt=prompt if speed else None, dtype=dtype,
                         device=device, stream=stream, sample=speed, progress=see,
                         choices=choice_items(choices, language=language) if tasks else ())
        if tokens is None and report is not None:
            found["notes"] += too_few("report", len(report), windows)
    record.results = found
    if out is not None:
        record.write(out)
    for note in found["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(json.dumps(found) if as_json else _text(found))


def _text(found: dict[str, object]) -> str:
    lines = [f"model       {found['model']}"]
    if "perplexity" in found:
        lines.append(f"perplexity  {found['perplexity']:.3f} +- {found['perplexity_stderr']:.3f}")
    if "accuracy" in found:
        lines.append(f"accuracy    {found['accuracy']:.3f} +- {found['accuracy_stderr']:.3f} "
                     f"({found['items']} items)")
    for name, unit in (("prefill_tokens_per_s", "prefill tok/s"),
                       ("decode_tokens_per_s", "decode tok/s"),
                       ("core_decode_tokens_per_s", "  core loop")):
        if found.get(name) is not None:
            lines.append(f"{unit:<13} {found[name]:.1f}")
    lines.append(f"weights     {found['bytes'] / 1e6:.1f} MB")  # type: ignore[operator]
    lines.append(f"peak memory {found['peak_memory_bytes'] / 1e6:.0f} MB "  # type: ignore[operator]
                 f"(libraries {found['libraries_memory_bytes'] / 1e6:.0f} MB)")  # type: ignore[operator]
    return "\n".join(lines)
