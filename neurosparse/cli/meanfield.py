"""``neurosparse meanfield``."""

from __future__ import annotations

from typing import Annotated

import typer

from neurosparse.cli import options as opt
from neurosparse.cli.progress import shown

_Network = "Network of infinite size"
_TwoTime = "Two-time theory (--two-time)"
_Density = "All exponents (--density)"


def command(
    gain: Annotated[float, typer.Option(
        help="g: an entry of J has variance g^2/N.", rich_help_panel=_Network)] = 2.0,
    phi: Annotated[str, typer.Option(
        help="tanh, erf, relu, linear, sigmoid or threshold-power.", rich_help_panel=_Network)]
    = "tanh",
    delta: Annotated[float | None, typer.Option(
        help="Step of the map, in (0, 1]; continuous time without.", rich_help_panel=_Network)]
    = None,
    noise: Annotated[float, typer.Option(
        help="Intensity s^2 of white noise; 2T of a temperature T.", rich_help_panel=_Network)]
    = 0.0,
    symmetry: Annotated[float, typer.Option(
        help="Correlation of J_ij and J_ji; two-time theory only.", rich_help_panel=_Network)]
    = 0.0,
    gamma: Annotated[float, typer.Option(
        help="Onsager switch; two-time theory only.", rich_help_panel=_Network)] = 0.0,
    density: Annotated[bool, typer.Option(
        "--density", help="Kaplan-Yorke dimension and entropy per neuron; a minute or so.",
        rich_help_panel=_Density)] = False,
    paths: Annotated[int, typer.Option(
        help="Sampled paths, a power of two.", rich_help_panel=_Density)] = 256,
    window: Annotated[float, typer.Option(
        help="Time window.", rich_help_panel=_Density)] = 32.0,
    two_time: Annotated[bool, typer.Option(
        "--two-time", help="C(t, s) and R(t, s) from a random start on.",
        rich_help_panel=_TwoTime)] = False,
    time: Annotated[float, typer.Option(
        "--duration", help="How long.", rich_help_panel=_TwoTime)] = 20.0,
    dt: Annotated[float, typer.Option(help="Step.", rich_help_panel=_TwoTime)] = 0.05,
    trajectories: Annotated[int | None, typer.Option(
        help="Samples, where it is sampled.", rich_help_panel=_TwoTime)] = None,
    out: Annotated[str | None, typer.Option(
        help="Folder for the functions (HDF5), figures and a run record; else nothing is written.")]
    = None,
    seed: opt.Seed = 0, figure: opt.Figure = "pdf", overwrite: opt.Overwrite = False,
    dry_run: opt.DryRun = False, as_json: opt.AsJson = False, progress: opt.Shown = "auto",
    debug: opt.Debug = False,
) -> None:
    """Mean-field theory: variance, largest exponent, critical gain, and more where asked."""
    from neurosparse.cli.folder import Folder, check_figure
    from neurosparse.cli.meanfield_runs import Theory, print_results
    from neurosparse.cli.show import plain, print_json, print_plan, warnings_as_lines

    check_figure(figure)
    theory = Theory(gain=gain, phi=phi, delta=delta, noise=noise, symmetry=symmetry, gamma=gamma,
                    density=density, paths=paths, window=window, two_time=two_time,
                    duration=time, dt=dt, trajectories=trajectories, seed=seed)
    if dry_run:
        print_plan(theory.plan(), theory.cost(), theory.as_dict(), as_json=as_json)
        return
    folder = None
    if out is not None:
        folder = Folder("meanfield", out, theory.as_dict(), {}, resume=False, overwrite=overwrite,
                        products=("stationary.*", "density.*", "two_time.*"))
    with shown(progress) as see, warnings_as_lines():
        results = theory.solve(see, folder, figure)
    if folder is not None:
        folder.write(plain(results))
    if as_json:
        print_json(results)
    else:
        print_results(results, theory.title())
    if results["status"] in ("diverged", "not converged"):
        raise typer.Exit(3)
