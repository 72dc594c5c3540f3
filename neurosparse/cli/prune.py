"""``neurosparse prune``."""

from __future__ import annotations

from typing import Annotated

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli.progress import shown


def command(
    model: of.Model,
    budget: Annotated[str, typer.Option(help="Budget file of neurosparse allocate.")],
    out: Annotated[str, typer.Option(help="Folder of the packed model.")] = "pruned",
    method: of.Method = "wanda",
    refit: Annotated[float | None, typer.Option(
        help="Solve kept weights again so that damaged inputs give the dense outputs; strength in "
             "[0, 1].")] = None,
    pattern: of.Pattern = None, keep_zeros: of.KeepZeros = False,
    values: Annotated[str, typer.Option(help="bf16, fp16, fp32 or int8.")] = "bf16",
    calibration: of.Calibration = None, windows: of.Windows = 32,
    window_length: of.WindowLength = 512, seed: of.Seed = None, dtype: of.Dtype = "float32",
    device: of.Device = "cpu", batch_size: of.BatchSize = 8,
    products: of.Products = "auto",
    force: Annotated[bool, typer.Option(
        "--force", help="Take a budget that was made for another model.")] = False,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Take away what a budget says, and write the packed model."""
    from neurosparse.pipeline import StepOptions, prune_step

    options = StepOptions(model, calibration, windows, window_length, seed, method, (), dtype,
                          device, batch_size, products=products)
    options.full()
    with shown(progress) as see:
        done = prune_step(options, budget, out, values=values, refit=refit, pattern=pattern,
                          keep_zeros=keep_zeros, force=force, progress=see)
    print(f"{out}: {sum(done.dropped.values()):,} of {done.size:,} weights are gone "
          f"({done.sparsity:.4%})")
    for note in done.notes:
        print(note)
