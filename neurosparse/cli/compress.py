"""``neurosparse compress``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli.progress import shown

_Panel = "What to take, and how"
_Texts = "Texts"


def command(
    model: Annotated[str, typer.Argument(help="Folder, hub id, .gguf file, or smollm2.")],
    sparsity: Annotated[float, typer.Option(
        help="Share of the blocks' weights to take away, in [0, 1).", rich_help_panel=_Panel)],
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "out",
    method: Annotated[str, typer.Option(
        help="wanda, sparsegpt, alps ... (docs/pruning.md).", rich_help_panel=_Panel)] = "wanda",
    refit: Annotated[float | None, typer.Option(
        help="Solve kept weights again so that damaged inputs give the dense outputs; strength in "
             "[0, 1].", rich_help_panel=_Panel)] = None,
    pattern: of.Pattern = None, keep_zeros: of.KeepZeros = False,
    rule: Annotated[str, typer.Option(
        help="propagation, uniform, arithmetic, owl ... (docs/rules.md).", rich_help_panel=_Panel)]
    = "propagation",
    step: Annotated[str | None, typer.Option(
        help="Step of the arithmetic rule: a number, or predicted.", rich_help_panel=_Panel)]
    = None,
    search_step: Annotated[bool, typer.Option(
        "--search-step", help="Find the step on the selection text.", rich_help_panel=_Panel)]
    = False,
    values: of.Values = "bf16", group: of.Group = None,
    exclude: Annotated[list[str] | None, typer.Option(
        help="Glob of linears to leave alone; may be repeated.", rich_help_panel=_Panel)] = None,
    export: Annotated[str | None, typer.Option(
        help="dense: also write out/dense, for everybody else.", rich_help_panel=_Panel)] = None,
    calibration: Annotated[str | None, typer.Option(
        help="Text, JSON lines, or a datasets name; alone it is split.", rich_help_panel=_Texts)]
    = None,
    selection: Annotated[str | None, typer.Option(
        help="Text on which choices are made.", rich_help_panel=_Texts)] = None,
    report_text: Annotated[str | None, typer.Option(
        help="Text of the reported perplexity.", rich_help_panel=_Texts)] = None,
    windows: Annotated[int, typer.Option(help="Calibration windows.", rich_help_panel=_Texts)] = 32,
    window_length: Annotated[int, typer.Option(help="Tokens.", rich_help_panel=_Texts)] = 512,
    report_windows: Annotated[int, typer.Option(
        help="Windows of the reported perplexity.", rich_help_panel=_Texts)] = 64,
    selection_windows: Annotated[int, typer.Option(
        help="Windows on which steps are compared.", rich_help_panel=_Texts)] = 16,
    dtype: Annotated[str, typer.Option(
        help="float32, bfloat16, float16, auto: of the computation.")] = "float32",
    products: of.Products = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
    batch_size: Annotated[int, typer.Option(help="Windows a pass.")] = 8,
    stream: Annotated[bool | None, typer.Option(
        "--stream/--no-stream",
        help="Read blocks from disk one by one; by itself if memory is short.")] = None,
    hidden: Annotated[str, typer.Option(
        help="memory or disk: where the windows' hidden states lie.")] = "memory",
    seed: Annotated[int | None, typer.Option(
        help="Draw the calibration windows by this seed; else the first.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with unfinished work.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results in --out.")]
    = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will do, its cost.")]
    = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    progress: Annotated[str, typer.Option(help="auto, lines or none.")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Prune, pack, evaluate and report: a real model in, a smaller one that works out."""
    from neurosparse.cli.table import print_results
    from neurosparse.pipeline import CompressOptions, compress, plan

    options = CompressOptions(
        model=model, sparsity=sparsity, out=out, method=method, refit=refit,
        pattern=pattern, keep_zeros=keep_zeros, rule=rule,
        step=step_of(step), search_step=search_step, calibration=calibration, selection=selection,
        report_text=report_text, windows=windows, window_length=window_length,
        report_windows=report_windows, selection_windows=selection_windows, values=values,
        group_size=group, exclude=tuple(exclude or ()), export=export, dtype=dtype,
        products=products, device=device,
        batch_size=batch_size, stream=stream, hidden=hidden, seed=seed,
    )
    if dry_run:
        _print_plan(plan(options, resume=resume, overwrite=overwrite).as_dict(), as_json=as_json)
        return
    arguments = options.as_dict()
    with shown(progress) as see:
        result = compress(arguments.pop("model"), arguments.pop("sparsity"), resume=resume,
                          overwrite=overwrite, progress=see, **arguments)
    if as_json:
        print(json.dumps(result.results, indent=2))
    else:
        print_results(result.results, folder=out)


def step_of(text: str | None) -> float | str | None:
    """A number where it is one."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _print_plan(estimate: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(estimate, indent=2))
        return
    model, seconds = estimate["model"], estimate["seconds"]
    lines = [f"{model['name']} ({model['source']}): {model['parameters']:,} parameters, "
             f"{model['pruned_parameters']:,} of them in {model['linears']} linears of "
             f"{model['blocks']} blocks",
             *(f"  {stage:<10} about {value:8.0f} s" for stage, value in seconds.items()),
             f"  all        about {sum(seconds.values()):8.0f} s",
             f"memory about {estimate['memory_bytes'] / 1e6:,.0f} MB"
             + (" (blocks read from disk one by one)" if estimate["streamed"] else ""),
             f"disk   about {estimate['disk_bytes'] / 1e6:,.0f} MB",
             "Nothing was run or written."]
    print("\n".join(lines))
