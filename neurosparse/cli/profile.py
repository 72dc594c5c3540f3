"""``neurosparse profile``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli.progress import shown


def command(
    model: of.Model,
    rule: Annotated[list[str] | None, typer.Option(
        help="Measure what this rule needs; may be repeated (propagation).")] = None,
    evidence: Annotated[list[str] | None, typer.Option(
        help="Measure this evidence by name; may be repeated.")] = None,
    up_to: Annotated[float, typer.Option(
        help="Greatest sparsity that propagation will be asked for.")] = 0.7,
    out: Annotated[str, typer.Option(help="Profile file (HDF5).")] = "profile.h5",
    method: of.Method = "wanda", exclude: of.Exclude = None, calibration: of.Calibration = None,
    windows: of.Windows = 32, window_length: of.WindowLength = 512, seed: of.Seed = None,
    dtype: of.Dtype = "float32", device: of.Device = "cpu", batch_size: of.BatchSize = 8,
    stream: of.Stream = False, products: of.Products = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will cost.")] = False,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Measure a model: the evidence from which rules allocate.

    Points of the path of propagation are kept in OUT.work: the same command goes on after them.
    """
    from neurosparse.budgets import check_sparsity
    from neurosparse.errors import InputError
    from neurosparse.pipeline import (
        StepOptions,
        evidence_wanted,
        profile_step,
        profile_step_cost,
    )

    check_sparsity(up_to, "profile")
    options = StepOptions(model, calibration, windows, window_length, seed, method,
                          tuple(exclude or ()), dtype, device, batch_size, stream,
                          products)
    options.full()
    named = evidence or []
    unfinished = Path(f"{out}.work")
    wanted = evidence_wanted(rule or ([] if named else ["propagation"]), named, up_to,
                             folder=unfinished, products=products)
    print(f"{model}: {profile_step_cost(options, wanted)}")
    if dry_run:
        print("Nothing was run or written.")
        return
    if Path(out).exists() and not overwrite:
        raise InputError("profile", found=f"{out} exists", expected="a new file",
                         mend="Name another with --out, or replace it with --overwrite.")
    with shown(progress) as see:
        found = profile_step(options, wanted, out, progress=see)
    shutil.rmtree(unfinished, ignore_errors=True)
    kinds = (["curves"] if found.curves is not None else []) + sorted(found.evidence)
    print(f"{out}: {len(found.names)} linears, {int(found.sizes.sum()):,} parameters, "
          f"evidence {', '.join(kinds)}")
