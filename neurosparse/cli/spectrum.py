"""``neurosparse spectrum``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurosparse.cli import options as opt
from neurosparse.cli.network import Network
from neurosparse.cli.progress import shown

_Panel = "Measurement"
_Given = Annotated[float | None, typer.Option(rich_help_panel=_Panel)]


def command(
    n: opt.Neurons = None, gain: opt.Strength = None, symmetry: opt.Symmetry = None,
    sparsity: opt.Sparsity = None, phi: opt.Phi = "tanh", gamma: opt.Gamma = 0.0,
    temperature: opt.Temperature = 0.0, map_step: opt.MapStep = None,
    ensemble: opt.Ensemble = None, couplings: opt.CouplingsFile = None,
    mean_e: opt.MeanE = None, mean_i: opt.MeanI = None, std_e: opt.StdE = None,
    std_i: opt.StdI = None, excitatory: opt.Excitatory = None, dale: opt.Dale = None,
    zero_row_sums: opt.ZeroRowSums = False,
    k: Annotated[int | None, typer.Option(
        "--k", help="How many exponents, the largest first; all by default.",
        rich_help_panel=_Panel)] = None,
    precision: Annotated[float | None, typer.Option(
        help="Go on until every standard error is at most this.", rich_help_panel=_Panel)] = None,
    time: Annotated[float | None, typer.Option(
        "--duration", help="Time to measure over, or the least time with --precision (500).",
        rich_help_panel=_Panel)] = None,
    max_duration: Annotated[float | None, typer.Option(
        help="Longest time with --precision.", rich_help_panel=_Panel)] = None,
    transient: Annotated[float | None, typer.Option(
        help="Time that the state runs alone before (100).", rich_help_panel=_Panel)] = None,
    dt: Annotated[float | None, typer.Option(
        help="Step; by default at most half of the stable one (docs/lyapunov.md).",
        rich_help_panel=_Panel)] = None,
    method: Annotated[str | None, typer.Option(
        help="rk4, euler; at gamma 0 also exponential-ab2, -ab3, -ab4.",
        rich_help_panel=_Panel)] = None,
    dtype: Annotated[str, typer.Option(
        help="float64 or float32: of the tangent products.", rich_help_panel=_Panel)] = "float64",
    draws: Annotated[int, typer.Option(
        help="Networks; the error over them is then told apart.", rich_help_panel=_Panel)] = 1,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "out",
    seed: opt.Seed = 0, figure: opt.Figure = "pdf", resume: opt.Resume = False,
    overwrite: opt.Overwrite = False, dry_run: opt.DryRun = False, as_json: opt.AsJson = False,
    progress: opt.Shown = "auto", debug: opt.Debug = False,
) -> None:
    """Lyapunov exponents with errors: a table, spectrum.h5, a figure, a run record.

    Exit code 3 if the asked precision was not reached or the run diverged.
    """
    from neurosparse.cli.folder import Folder, check_figure
    from neurosparse.cli.show import print_plan, warnings_as_lines
    from neurosparse.cli.spectrum_runs import Runs, exit_code

    check_figure(figure)
    network = Network.of(locals())
    numerics = {"k": k, "transient": transient, "dt": dt, "method": method, "dtype": dtype}
    target = {"duration": time, "precision": precision, "max_duration": max_duration}
    runs = Runs(network, numerics, target, draws, seed)
    if dry_run:
        print_plan(runs.plan(), runs.cost, {"network": network.as_dict(), **numerics, **target,
                                            "draws": draws}, as_json=as_json)
        return
    runs.cost.check("spectrum")
    folder = Folder("spectrum", out, {**network.as_dict(), **numerics, "seed": seed},
                    {**target, "draws": draws}, products=("spectrum*.h5", "spectrum.p*",
                                                          "spectrum.svg"),
                    resume=resume, overwrite=overwrite)
    with shown(progress) as see, warnings_as_lines():
        found = runs.measure(folder, see)
        _finish(found, runs, folder, figure, as_json=as_json)
    code = exit_code(found)
    if code:
        raise typer.Exit(code)


def _finish(found: list[Any], runs: Any, folder: Any, figure: str, *, as_json: bool) -> None:
    """The summary to the record, the figure, and the table or JSON to the person."""
    import numpy as np

    from neurosparse.cli.show import plain, print_json
    from neurosparse.cli.spectrum_table import print_spectrum, summary

    whole = runs.together(found)
    results = summary(found, whole)
    results["files"] = {"spectrum": [str(path) for path in runs.files(folder)[:len(found)]]}
    if np.isfinite(whole.exponents).any():
        def draw() -> Any:
            from neurosparse import report

            return report.spectrum(whole, size=found[0].size)

        results["files"]["figure"] = folder.figure(figure, "spectrum", draw)
    folder.write(plain(results))
    if as_json:
        print_json(results)
    else:
        print_spectrum(results, runs.network.title())
