"""``neurosparse adapt``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli import options as run
from neurosparse.cli.progress import shown
from neurosparse.cli.show import print_json, print_table

_How = "How much goes, and where"
_Learn = "How it learns"
_Text = "Text"


def command(
    model: of.Model,
    sparsity: Annotated[float, typer.Option(
        help="Share of the blocks' weights that is gone at the end.", rich_help_panel=_How)],
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "adapted",
    steps: Annotated[int, typer.Option(
        help="Prunings along the cubic schedule; 1: prune once.", rich_help_panel=_How)] = 5,
    rule: Annotated[str, typer.Option(
        help="representation (LoSA), propagation, uniform ... (docs/rules.md).",
        rich_help_panel=_How)] = "representation",
    method: of.Method = "wanda",
    refit: Annotated[float | None, typer.Option(
        help="Solve kept weights again at every pruning; strength in [0, 1].",
        rich_help_panel=_How)] = None,
    pattern: of.Pattern = None,
    regrow: Annotated[bool, typer.Option(
        "--regrow", help="What is gone may come back at a later pruning.",
        rich_help_panel=_How)] = False,
    update: Annotated[str, typer.Option(
        help="low-rank: masked LoRA; values: the kept weights themselves.",
        rich_help_panel=_Learn)] = "low-rank",
    ranks: Annotated[str, typer.Option(
        help="Ranks of the blocks: error (LoSA), damage (rule propagation), equal.",
        rich_help_panel=_Learn)] = "error",
    rank: Annotated[int, typer.Option(
        help="Mean rank at the last step.", rich_help_panel=_Learn)] = 10,
    distill: Annotated[float, typer.Option(
        help="Share of the loss that is the divergence from the dense model, in [0, 1].",
        rich_help_panel=_Learn)] = 0.0,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.", rich_help_panel=_Learn)] = 1e-3,
    batch: Annotated[int, typer.Option(
        help="Windows an optimiser step.", rich_help_panel=_Learn)] = 2,
    dropout: Annotated[float, typer.Option(
        help="On the update's input.", rich_help_panel=_Learn)] = 0.0,
    checkpointing: Annotated[bool, typer.Option(
        "--checkpointing", help="Less memory, a third more time.", rich_help_panel=_Learn)]
    = False,
    data: Annotated[str | None, typer.Option(
        help="Training text: .txt, .jsonl, or a datasets name; the protocol's by default.",
        rich_help_panel=_Text)] = None,
    report_text: Annotated[str | None, typer.Option(
        help="Text of the reported perplexity; the last tenth of --data by default.",
        rich_help_panel=_Text)] = None,
    tokens: Annotated[int | None, typer.Option(
        help="Training tokens; all of --data, or 50,000 of the protocol's.",
        rich_help_panel=_Text)] = None,
    windows: of.Windows = 32, window_length: of.WindowLength = 512,
    report_windows: Annotated[int, typer.Option(
        help="Windows of the reported perplexity.", rich_help_panel=_Text)] = 16,
    values: of.Values = "bf16", group: of.Group = None,
    dtype: of.Dtype = "float32", device: of.Device = "cpu", seed: run.Seed = 0,
    resume: run.Resume = False, overwrite: run.Overwrite = False, dry_run: run.DryRun = False,
    as_json: run.AsJson = False, progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Prune in steps, learn under the mask after each, merge without losing a zero, and pack."""
    from neurosparse.adaptation import LosaOptions, TrainOptions
    from neurosparse.pipeline import AdaptOptions, adapt_cost, adapt_step

    train = TrainOptions(learning_rate=learning_rate, batch_size=batch, seed=seed,
                         distill=distill, checkpointing=checkpointing)
    losa = LosaOptions(
        sparsity=sparsity, steps=steps, rule=rule, method=method, refit=refit, pattern=pattern,
        regrow=regrow, update=update, ranks="equal" if update == "values" else ranks, rank=rank,
        most=max(16, rank), dropout=dropout, windows=windows, train=train)
    options = AdaptOptions(
        model=model, losa=losa, out=out, data=data, report_text=report_text, tokens=tokens,
        window_length=window_length, report_windows=report_windows, values=values, group_size=group,
        dtype=dtype, device=device)
    if dry_run:
        _print_cost(adapt_cost(options), as_json=as_json)
        return
    with shown(progress) as see:
        found = adapt_step(options, resume=resume, overwrite=overwrite, progress=see)
    if as_json:
        print_json(found)
        return
    _print(found, out)


def _print(found: dict[str, Any], out: str) -> None:
    rows = [(str(number), f"{one['sparsity']:.2%}",
             f"{sum(one['ranks'].values()) / max(len(one['ranks']), 1):.1f}",
             str(len(one["losses"])),
             f"{one['losses'][0]:.3f} to {one['losses'][-1]:.3f}" if one["losses"] else "",
             f"{one['seconds']:.0f}") for number, one in enumerate(found["steps"], 1)]
    print_table("", ("step", "sparsity", "mean rank", "optimiser steps", "loss", "seconds"), rows)
    dense, adapted = found["dense"], found["adapted"]
    print(f"\nperplexity on {found['report_windows']} windows that were not learnt from: dense "
          f"{dense['perplexity']:.2f} ± {dense['stderr']:.2f}, adapted "
          f"{adapted['perplexity']:.2f} ± {adapted['stderr']:.2f}\n"
          f"{out}/model: {found['sparsity']:.2%} of the blocks' weights are zero, "
          f"{found['bytes'] / 1e6:.1f} MB\n{out}/adaptation.png shows the steps"
          f"\n# neurosparse generate {out}/model --prompt ...")


def _print_cost(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print(f"{found['model']}: {found['parameters']:,} parameters; {found['prunings']} prunings, "
          f"{found['optimiser_steps']} optimiser steps on {found['training_tokens']:,} tokens")
    for stage, seconds in found["seconds"].items():
        print(f"  {stage:<8} about {seconds:8.0f} s")
    print(f"memory about {found['memory_bytes'] / 1e6:,.0f} MB\nNothing was run or written.")
