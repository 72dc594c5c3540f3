"""``neurosparse phase``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurosparse.cli import options as opt
from neurosparse.cli.axis import read_axis
from neurosparse.cli.progress import shown

_Panel = "Diagram"


def command(
    gains: Annotated[str, typer.Option(
        help="g: START:STOP:COUNT, or values with commas.", rich_help_panel=_Panel)] = "0.5:5:10",
    gammas: Annotated[str, typer.Option(
        help="Onsager switch, in the same way.", rich_help_panel=_Panel)] = "0:1:6",
    n: Annotated[int, typer.Option("--n", help="Neurons.", rich_help_panel=_Panel)] = 200,
    k: Annotated[int, typer.Option("--k", help="Exponents.", rich_help_panel=_Panel)] = 1,
    draws: Annotated[int, typer.Option(help="Networks a point.", rich_help_panel=_Panel)] = 4,
    time: Annotated[float, typer.Option(
        "--duration", help="Time of each run.", rich_help_panel=_Panel)] = 400.0,
    windows: Annotated[int, typer.Option(
        help="Windows over which it is measured, each twice as long as the one before.",
        rich_help_panel=_Panel)] = 4,
    phi: Annotated[str, typer.Option(
        help="A gain with a second derivative.", rich_help_panel=_Panel)] = "tanh",
    symmetry: Annotated[float, typer.Option(
        help="Correlation of J_ij and J_ji.", rich_help_panel=_Panel)] = 0.0,
    sparsity: Annotated[float, typer.Option(
        help="Probability that a synapse is absent.", rich_help_panel=_Panel)] = 0.0,
    method: Annotated[str | None, typer.Option(
        help="rk4 or euler.", rich_help_panel=_Panel)] = None,
    dt: Annotated[float | None, typer.Option(
        help="Step; a stable one by default.", rich_help_panel=_Panel)] = None,
    workers: Annotated[int | None, typer.Option(
        help="Processes; all cores by default, 0 for none but this.")] = None,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "out",
    seed: opt.Seed = 0, figure: opt.Figure = "pdf", resume: opt.Resume = False,
    overwrite: opt.Overwrite = False, dry_run: opt.DryRun = False, as_json: opt.AsJson = False,
    progress: opt.Shown = "auto", debug: opt.Debug = False,
) -> None:
    """The phase diagram over gain and Onsager switch: phase.h5, a figure, a run record."""
    from neurosparse.cli.folder import Folder, check_figure
    from neurosparse.cli.phase_report import cost, finish
    from neurosparse.cli.show import print_plan, warnings_as_lines

    check_figure(figure)
    identity: dict[str, Any] = {
        "gains": read_axis("gains", gains), "gammas": read_axis("gammas", gammas), "n": n, "k": k,
        "draws": draws, "duration": time, "windows": windows, "phi": phi, "symmetry": symmetry,
        "sparsity": sparsity, "method": method, "dt": dt, "seed": seed}
    estimate = cost(identity, workers)
    points = len(identity["gains"]) * len(identity["gammas"])
    if dry_run:
        print_plan([f"Largest exponents of N={n} networks over {points} points (g, gamma), "
                    f"{draws} draws each", f"for a time of {time:g}; {points * draws} runs."],
                   estimate, {**identity, "runs": points * draws}, as_json=as_json)
        return
    estimate.check("phase")
    folder = Folder("phase", out, identity, {"workers": workers},
                    products=("sweep.h5", "phase.*"), resume=resume, overwrite=overwrite)
    # The sweep's file grows point by point: the record has to be there to go on from.
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.begin()
    folder.write({"status": "unfinished"})
    with shown(progress) as see, warnings_as_lines(), folder.timed("sweep"):
        from neurosparse.lyapunov.phase import phase_diagram

        diagram = phase_diagram(
            identity["gains"], identity["gammas"], n=n, k=k, draws=draws, duration=time,
            windows=windows, phi=phi, couplings={"symmetry": symmetry, "sparsity": sparsity},
            method=method, dt=dt, seed=seed, store=folder.path / "sweep.h5", workers=workers,
            resume=True, progress=see)
    finish(diagram, folder, figure, as_json=as_json)
