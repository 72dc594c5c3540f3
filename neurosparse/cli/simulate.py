"""``neurosparse simulate``."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Annotated, Any

import typer

from neurosparse.cli import options as opt
from neurosparse.cli.network import Network
from neurosparse.cli.progress import shown
from neurosparse.errors import InputError

_Panel = "Run of the network"


def command(
    n: opt.Neurons = None, gain: opt.Strength = None, symmetry: opt.Symmetry = None,
    sparsity: opt.Sparsity = None, phi: opt.Phi = "tanh", gamma: opt.Gamma = 0.0,
    temperature: opt.Temperature = 0.0, map_step: opt.MapStep = None,
    ensemble: opt.Ensemble = None, couplings: opt.CouplingsFile = None,
    mean_e: opt.MeanE = None, mean_i: opt.MeanI = None, std_e: opt.StdE = None,
    std_i: opt.StdI = None, excitatory: opt.Excitatory = None, dale: opt.Dale = None,
    zero_row_sums: opt.ZeroRowSums = False,
    time: Annotated[float, typer.Option(
        "--duration", help="Time of the whole run; steps for a map.", rich_help_panel=_Panel)]
    = 100.0,
    transient: Annotated[float, typer.Option(
        help="First part of it, not recorded.", rich_help_panel=_Panel)] = 0.0,
    record_every: Annotated[float | None, typer.Option(
        help="Time between records; 0.5 or what fits below it, or the step of a map.",
        rich_help_panel=_Panel)] = None,
    dt: Annotated[float | None, typer.Option(
        help="Step; one that is stable by default.", rich_help_panel=_Panel)] = None,
    method: Annotated[str, typer.Option(
        help="rk4, euler, adaptive, rk45, stiff, bdf, radau; with noise heun, euler-maruyama.",
        rich_help_panel=_Panel)] = "rk4",
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "out",
    seed: opt.Seed = 0, figure: opt.Figure = "pdf", overwrite: opt.Overwrite = False,
    dry_run: opt.DryRun = False, as_json: opt.AsJson = False, progress: opt.Shown = "auto",
    debug: opt.Debug = False,
) -> None:
    """Run a random network; states and energies to trajectory.h5, a figure, a run record."""
    from neurosparse.cli.folder import Folder, check_figure
    from neurosparse.cli.show import print_json, print_plan, warnings_as_lines

    check_figure(figure)
    network = Network.of(locals())
    run: dict[str, Any] = {"duration": time, "transient": transient, "dt": dt, "method": method,
                           "record_every": record_every}
    cost, records = _cost(network, run)
    if dry_run:
        print_plan([f"Run {network.title()} for {time:g} by {method}",
                    f"and keep {records:,} states of {network.size:,} numbers."],
                   cost, {"network": network.as_dict(), "records": records}, as_json=as_json)
        return
    cost.check("simulate")
    folder = Folder("simulate", out, {**network.as_dict(), **run, "seed": seed}, {},
                    products=("trajectory.*",), resume=False, overwrite=overwrite)
    with shown(progress) as see, warnings_as_lines():
        from neurosparse.dynamics import simulate

        with folder.timed("couplings"):
            system = network.build(seed)
        target = folder.path / "trajectory.h5"
        folder.begin()
        with folder.timed("simulate"), simulate(
                system, duration=time, dt=dt, method=method, transient=transient,
                record_every=run["record_every"], store=target, seed=seed, progress=see) as found:
            results = _results(found, network.size)
            results["files"] = {"trajectory": str(target)}
            if found.times.size > 1:
                results["files"]["figure"] = folder.figure(figure, "trajectory",
                                                           lambda: _draw(found))
    folder.write(results)
    if as_json:
        print_json(results)
    else:
        _print(results, network)
    if results["status"] != "finished":
        raise typer.Exit(130 if results["status"] == "interrupted" else 3)


def _cost(network: Network, run: dict[str, Any]) -> tuple[Any, int]:
    """Estimate; and checks of what the room would refuse after the couplings are drawn.

    Fills in the record interval that was not asked for.
    """
    from neurosparse.cli.cost import Cost, couplings_bytes, products_time, step_of
    from neurosparse.dynamics.clock import make_clock
    from neurosparse.dynamics.methods import default_step, resolve

    method = resolve(network.build(0, n=None if network.couplings else 2), run["method"])
    longest = step_of(network, run["dt"], lambda system: default_step(system, method))
    step = 1.0 if network.map_step is not None else run["dt"]
    if run["record_every"] is None and network.map_step is None:
        run["record_every"] = _interval(run, longest)
    clock = make_clock(run["duration"], run["transient"], step, run["record_every"], longest)
    columns = 8 * network.size
    memory = couplings_bytes(network) + (16 << 20) + 12 * columns
    seconds = products_time(network, method, clock.steps + clock.records, 1)
    return Cost(seconds, memory, clock.records * (columns + 16.0)), clock.records


def _interval(run: dict[str, Any], longest: float) -> float:
    """0.5, or the longest record interval below it that is found to fit the times asked for."""
    from neurosparse.dynamics.clock import make_clock

    times = (run["duration"], run["transient"], run["dt"])
    clock = make_clock(*times, None, longest)  # a duration that fits no interval is told here
    rest = run["duration"] - run["transient"]
    for every in (0.5, rest / math.ceil(rest / 0.5)):
        with suppress(InputError):
            make_clock(*times, every, longest)
            return float(every)
    steps, most = clock.records - 1, max(1, int(0.5 / clock.dt + 1e-9))
    return max(k for k in range(1, most + 1) if steps % k == 0) * clock.dt


def _results(found: Any, size: int) -> dict[str, Any]:
    import numpy as np

    last = found.times.size - 1
    rows = np.unique(np.linspace(0, last, 5).round().astype(int)) if last >= 0 else np.arange(0)
    return {
        "status": found.status, "records": int(found.times.size), "size": size,
        "settings": found.settings,
        "table": [{"time": float(found.times[row]),
                   "energy": float(found.energy[row]) / size,
                   "activity": float(np.sum(np.asarray(found.states[row]) ** 2)) / size}
                  for row in rows],
    }


def _draw(found: Any) -> Any:
    from neurosparse import report

    return report.trajectory(found)


def _print(results: dict[str, Any], network: Network) -> None:
    from neurosparse.cli.show import print_facts, print_table

    print_table(network.title(), ("time", "E/N", "|x|^2/N"),
                [[f"{row['time']:g}", f"{row['energy']:.6g}", f"{row['activity']:.6g}"]
                 for row in results["table"]])
    ended = results["status"]
    if "diverged_at" in results["settings"]:
        ended += f" at time {results['settings']['diverged_at']:g}"
    settings = results["settings"]
    print_facts([("status", ended),
                 ("method", f"{settings['method']}, dt {settings['dt']:g}"),
                 ("records", f"{results['records']:,}"),
                 *((name, file) for name, file in results["files"].items() if file)])
