"""``neurosparse adapt``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurosparse.cli import learning_options as learn
from neurosparse.cli import model_options as of
from neurosparse.cli import options as run
from neurosparse.cli.progress import shown
from neurosparse.cli.show import print_json, print_table

_How = "How much goes, and where"
_Text = "Text"


def command(
    model: of.Model,
    sparsity: Annotated[float | None, typer.Option(
        help="Share of the blocks' weights that is gone at the end. Without it nothing goes: a "
             "model that was cut or pruned recovers as it is.", rich_help_panel=_How)] = None,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "adapted",
    recipe: Annotated[str, typer.Option(
        help="What is taken where nothing else is asked. propagation: prune once by measured "
             "damage, solve what stays again, ranks by damage. losa: as the paper, five prunings "
             "by representation, no re-fit, ranks by error.", rich_help_panel=_How)]
    = "propagation",
    steps: Annotated[int | None, typer.Option(
        help="Prunings along the cubic schedule; 1: prune once.", rich_help_panel=_How)] = None,
    rule: Annotated[str | None, typer.Option(
        help="propagation, representation (LoSA), uniform ... (docs/rules.md).",
        rich_help_panel=_How)] = None,
    method: of.Method = "wanda",
    refit: Annotated[float | None, typer.Option(
        help="Solve kept weights again at every pruning; strength in [0, 1].",
        rich_help_panel=_How)] = None,
    no_refit: Annotated[bool, typer.Option(
        "--no-refit", help="Leave them as they are.", rich_help_panel=_How)] = False,
    pattern: of.Pattern = None,
    regrow: Annotated[bool, typer.Option(
        "--regrow", help="What is gone may come back at a later pruning.",
        rich_help_panel=_How)] = False,
    update: learn.Update = "low-rank", ranks: learn.Ranks = None, rank: learn.Rank = 10,
    distill: learn.Distill = 0.0, distill_blocks: learn.DistillBlocks = 0.0,
    teacher: learn.Teacher = None, learning_rate: learn.LearningRate = 1e-3,
    batch: learn.Batch = 2, dropout: learn.Dropout = 0.0,
    checkpointing: learn.Checkpointing = False,
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
    dtype: of.Dtype = "float32", products: learn.Products = "auto", device: of.Device = "cpu",
    seed: run.Seed = 0,
    resume: run.Resume = False, overwrite: run.Overwrite = False, dry_run: run.DryRun = False,
    as_json: run.AsJson = False, progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Prune in steps, learn under the mask after each, merge and pack; or recover what was cut."""
    from neurosparse.adaptation import UNPRUNED, LosaOptions, TrainOptions, from_recipe
    from neurosparse.pipeline import AdaptOptions, adapt_cost, adapt_step

    train = TrainOptions(learning_rate=learning_rate, batch_size=batch, seed=seed,
                         distill=distill, distill_blocks=distill_blocks,
                         checkpointing=checkpointing)
    asked: dict[str, Any] = {"steps": steps, "rule": rule, "ranks": ranks,
                             "refit": False if no_refit else refit}
    if sparsity is None:
        given = {name: value for name, value in asked.items()
                 if value is not None and value is not False}
        how = {**UNPRUNED, "pattern": pattern, "update": update, **given}
    else:
        how = {"sparsity": sparsity,
               **from_recipe(recipe, pattern=pattern, update=update, **asked)}
    losa = LosaOptions(method=method, regrow=regrow, rank=rank,
                       most=max(16, rank), dropout=dropout, windows=windows, train=train, **how)
    options = AdaptOptions(
        model=model, losa=losa, out=out, data=data, report_text=report_text, tokens=tokens,
        window_length=window_length, report_windows=report_windows, values=values, group_size=group,
        teacher=teacher, dtype=dtype, products=products, device=device)
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
    first = "dense" if "dense" in found else "before"
    before, adapted = found[first], found["adapted"]
    form = found.get("form", "packed")  # which runs before there were others do not say
    kept = (f"{found['sparsity']:.2%} of the blocks' weights are zero" if form == "packed" else
            f"{found['parameters']:,} parameters")
    kept += " in blocks of different widths" * (form == "uneven")
    print(f"\nperplexity on {found['report_windows']} windows that were not learnt from: {first} "
          f"{before['perplexity']:.2f} ± {before['stderr']:.2f}, adapted "
          f"{adapted['perplexity']:.2f} ± {adapted['stderr']:.2f}\n"
          f"{out}/model: {kept}, {found['bytes'] / 1e6:.1f} MB")
    if first == "dense":
        print(f"{out}/adaptation.png shows the steps")
    print(f"# neurosparse generate {out}/model --prompt ...")


def _print_cost(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print(f"{found['model']}: {found['parameters']:,} parameters; {found['prunings']} prunings, "
          f"{found['optimiser_steps']} optimiser steps on {found['training_tokens']:,} tokens")
    for stage, seconds in found["seconds"].items():
        print(f"  {stage:<8} about {seconds:8.0f} s")
    print(f"memory about {found['memory_bytes'] / 1e6:,.0f} MB\nNothing was run or written.")
