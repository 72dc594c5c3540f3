"""``neurosparse prune``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurosparse.cli import learning_options as learn
from neurosparse.cli import model_options as of
from neurosparse.cli.progress import shown

if TYPE_CHECKING:
    from neurosparse.pipeline import Recovery, StepOptions, StructuredOptions

_Structured = "Structures (--structured)"
_Recovery = "Recovery (--structured --recover)"


def command(
    model: of.Model,
    budget: Annotated[str | None, typer.Option(help="Budget file of neurosparse allocate.")]
    = None,
    out: Annotated[str, typer.Option(help="Folder of the packed model.")] = "pruned",
    method: of.Method = "wanda",
    refit: Annotated[float | None, typer.Option(
        help="Solve kept weights again so that damaged inputs give the dense outputs; strength in "
             "[0, 1].")] = None,
    pattern: of.Pattern = None, keep_zeros: of.KeepZeros = False,
    values: of.Values = "bf16", group: of.Group = None,
    questions: Annotated[str | None, typer.Option(
        help="Calibrate a video model on these questions, with frames in its prompts: JSON lines, "
             "as for neurosparse video budget.")] = None,
    calibration: of.Calibration = None, windows: of.Windows = 32,
    window_length: of.WindowLength = 512, seed: of.Seed = None, dtype: of.Dtype = "float32",
    device: of.Device = "cpu", batch_size: of.BatchSize = 8,
    products: of.Products = "auto",
    structured: Annotated[bool, typer.Option(
        "--structured", help="Cut heads and neurons out: smaller matrices.",
        rich_help_panel=_Structured)] = False,
    rate: Annotated[float | None, typer.Option(
        help="Share of the blocks' parameters to cut, in place of a budget.",
        rich_help_panel=_Structured)] = None,
    rule: Annotated[str, typer.Option(
        help="Who gives how much, with --rate: propagation, uniform ... (docs/rules.md).",
        rich_help_panel=_Structured)] = "propagation",
    metric: Annotated[str, typer.Option(
        help="flap, wanda-sp, magnitude, taylor, fisher.", rich_help_panel=_Structured)]
    = "flap",
    compensate: Annotated[str, typer.Option(
        help="least_squares, bias or none.", rich_help_panel=_Structured)] = "least_squares",
    heads: Annotated[str, typer.Option(
        help="groups: key-value groups whole; queries: query heads inside every group.",
        rich_help_panel=_Structured)] = "queries",
    experts: Annotated[bool, typer.Option(
        "--experts", help="Whole experts of a mixture.", rich_help_panel=_Structured)] = False,
    round_to: Annotated[int, typer.Option(
        help="Neurons that stay are a multiple of it.", rich_help_panel=_Structured)] = 1,
    blocks: Annotated[int, typer.Option(
        help="Whole blocks to drop first, those of least influence.",
        rich_help_panel=_Structured)] = 0,
    export: Annotated[str | None, typer.Option(
        help="even: also pad to a shape that stock classes load, in OUT-even.",
        rich_help_panel=_Structured)] = None,
    recover: Annotated[str | None, typer.Option(
        help="Text that the cut model then learns from, by low-rank updates merged into it, in "
             "OUT-recovered; neurosparse adapt OUT does the same later.",
        rich_help_panel=_Recovery)] = None,
    recover_tokens: Annotated[int | None, typer.Option(
        help="Training tokens; all but the last tenth by default, which reports.",
        rich_help_panel=_Recovery)] = None,
    rank: learn.Rank = 10, learning_rate: learn.LearningRate = 1e-3,
    distill: learn.Distill = 0.0,
    force: Annotated[bool, typer.Option(
        "--force", help="Take a budget that was made for another model.")] = False,
    dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="Say what a structured cut will take.",
        rich_help_panel=_Structured)] = False,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Take away what a budget says, and write the packed model; or cut structures out."""
    from neurosparse.errors import InputError
    from neurosparse.pipeline import (
        Recovery,
        RecoveryOptions,
        StepOptions,
        StructuredOptions,
        prune_step,
        video_prune_step,
    )

    options = StepOptions(model, calibration, windows, window_length, seed, method, (), dtype,
                          device, batch_size, products=products)
    options.full()
    if questions is not None and (structured or calibration is not None):
        raise InputError("prune", found="--questions with --structured or --calibration",
                         expected="one of them")
    if structured:
        if group is not None:
            raise InputError("prune", found=f"--group {group} with --structured",
                             expected="no --group: what is cut out is stored dense")
        how = StructuredOptions(rate, budget, rule, metric, compensate, heads, experts, round_to,
                                export, blocks=blocks)
        after = None if recover is None else Recovery(
            options, RecoveryOptions(recover, recover_tokens, rank, learning_rate, distill), out)
        _cut(options, how, after, out, force=force, dry_run=dry_run, progress=progress)
        return
    if recover is not None:
        raise InputError("prune", found="--recover without --structured",
                         expected="--structured; under masks neurosparse adapt prunes and learns",
                         mend="neurosparse adapt MODEL --sparsity 0.6 --data FILE")
    if dry_run:
        raise InputError("prune", found="--dry-run without --structured",
                         expected="--structured; of masks neurosparse compress says the cost",
                         mend="neurosparse compress --dry-run")
    if budget is None:
        raise InputError("prune", found="no --budget", expected="a budget file",
                         mend="Make one with neurosparse allocate; or cut with --structured "
                              "--rate.")
    with shown(progress) as see:
        step = prune_step if questions is None else partial(
            video_prune_step, questions=questions)
        done = step(options, budget, out=out, values=values, group_size=group, refit=refit,
                    pattern=pattern, keep_zeros=keep_zeros, force=force, progress=see)
    print(f"{out}: {sum(done.dropped.values()):,} of {done.size:,} weights are gone "
          f"({done.sparsity:.4%})")
    for note in done.notes:
        print(note)


def _cut(options: StepOptions, how: StructuredOptions, after: Recovery | None, out: str, *,
         force: bool, dry_run: bool, progress: str) -> None:
    from neurosparse.pipeline import structured_cost, structured_step

    if dry_run:
        cost = structured_cost(options, how)
        if after is not None:
            cost["seconds"]["recover"] = after.cost()
        _print_cost(cost)
        return
    with shown(progress) as see:
        found = structured_step(options, how, out, force=force, progress=see)
    _print_cut(found, out)
    if after is not None:
        with shown(progress) as see:
            _print_recovered(after.run(see), f"{after.folder}/model")


def _print_cost(found: dict[str, Any]) -> None:
    what = [] if found["to_go"] is None else [
        f"{found['to_go']:,} of {found['linears']:,} parameters of the blocks' linears"]
    what += [f"{found['blocks']} blocks"] if found["blocks"] else []
    print(f"{found['model']}: {' and '.join(what) or 'what the budget says'} are to go")
    for stage, seconds in found["seconds"].items():
        print(f"  {stage:<12} about {seconds:8.0f} s")
    for note in found["notes"]:
        print(note)
    disk = found["disk_bytes"]
    print(f"memory about {found['memory_bytes'] / 1e6:,.0f} MB"
          + ("" if disk is None else f", disk about {disk / 1e6:,.1f} MB") + "\n"
          "Nothing was run or written.")


def _print_cut(found: dict[str, Any], out: str) -> None:
    if found["blocks"]:
        print(f"blocks {', '.join(map(str, found['blocks']))} are dropped")
    print(f"{out}: {found['parameters_after']:,} of {found['parameters']:,} parameters stay; "
          f"{found['removed']:,} are cut, {found['rate']:.4%} of the blocks' linears (asked: "
          f"{found['asked']:,})")
    if found["cut"] is not None:
        print(f"perplexity on {found['report_windows']} report windows: dense "
              f"{found['dense']['perplexity']:.2f} ± {found['dense']['stderr']:.2f}, cut "
              f"{found['cut']['perplexity']:.2f} ± {found['cut']['stderr']:.2f}")
    for note in found["notes"]:
        print(note)
    print("import neurosparse as ns; ns.register()\n"
          f'model = transformers.AutoModelForCausalLM.from_pretrained("{out}")')


def _print_recovered(found: dict[str, Any], folder: str) -> None:
    losses = found["steps"][0]["losses"]
    print(f"recovered in {len(losses)} optimiser steps; perplexity on {found['report_windows']} "
          f"windows that were not learnt from: {found['before']['perplexity']:.2f} ± "
          f"{found['before']['stderr']:.2f} before, {found['adapted']['perplexity']:.2f} ± "
          f"{found['adapted']['stderr']:.2f} after\n{folder} is as small and loads as the cut one")
