"""The mean-field theory of the regulated flow against simulated networks.

    python theory/regulated_dmft.py [--quick] [--out FOLDER] [--points g,gamma ...]

Claim: the two-time equations of docs/two_time.md give C(t, s) = <x x> and the four responses of
x' = f - gamma phi'(x) J^T f in the limit of large N, for any gamma. Each point (g, gamma) is solved
by neurosparse.meanfield.regulated and simulated (RK4, several draws of J and x(0); responses by
tangent vectors from random kicks). Prints per quantity the root mean square of the difference over
that of its standard error (about 1 where theory and networks agree; networks carry O(1/N) besides),
the largest difference, and the mean of the difference in units of its own error over the draws
(entries of one draw go up and down together, so that this is one number). Writes regulated_dmft.h5
and regulated_dmft.png.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.files import write_whole
from neurosparse.meanfield.regulated import regulated
from neurosparse.meanfield.two_time_result import TwoTime

Array = NDArray[np.float64]

RESPONSES = ("x/h", "phi/h", "f/h", "x/b", "phi/b", "f/b")
SETTINGS: dict[str, Any] = {
    "points": [(2.0, 0.5), (2.0, 1.0), (0.7, 1.0)], "n": 1000, "draws": 16, "probes": 4,
    "duration": 20.0, "dt": 0.05, "kicks": (0.0, 2.0, 8.0), "record": 0.5, "replicas": 8,
}
QUICK: dict[str, Any] = {
    **SETTINGS, "points": [(2.0, 1.0)], "n": 300, "draws": 4, "duration": 4.0, "kicks": (0.0, 2.0),
    "replicas": 4,
}


def network(gain: float, gamma: float, options: dict[str, Any], seed: int) -> dict[str, Array]:
    """Covariances [t, s] and responses [t, kick] of one draw."""
    n, dt, probes = options["n"], options["dt"], options["probes"]
    rng = np.random.default_rng([seed, 1])
    flow = Flow(gaussian_couplings(n, gain, seed=seed, storage="dense"), gamma)
    x, tangent = rng.standard_normal(n), np.zeros((n, 0))
    signs = {k: rng.choice([-1.0, 1.0], (n, 2 * probes)) for k in range(len(options["kicks"]))}
    every = round(options["record"] / dt)
    steps = round(options["duration"] / dt)
    kicks = [round(kick / dt) for kick in options["kicks"]]
    states, speeds = [], []
    answers = {name: np.full((steps // every + 1, len(kicks)), np.nan) for name in RESPONSES}
    for step in range(steps + 1):
        if step in kicks:
            k = kicks.index(step)
            tangent = np.hstack([tangent, kicked(flow, x, signs[k], probes)])
        if step % every == 0:
            states.append(x)
            speeds.append(flow.speed(x))
            for k in range(tangent.shape[1] // (2 * probes)):
                part = tangent[:, 2 * probes * k:2 * probes * (k + 1)]
                means = response_means(flow, x, part, signs[k], probes)
                for name, value in means.items():
                    answers[name][step // every, k] = value
        x, tangent = rk4(flow, x, tangent, dt)
    out = {"x": np.array(states), "phi": np.tanh(states), "f": np.array(speeds)}
    covariances = {name: value @ value.T / n for name, value in out.items()}
    return {**covariances, **answers}


def kicked(flow: Flow, x: Array, signs: Array, probes: int) -> Array:
    """Change of x right after unit fields h (first half of the columns) and b (second half)."""
    slope = flow.phi.slope(x)[:, None]
    toward_h, toward_b = signs[:, :probes], signs[:, probes:]
    return np.hstack([toward_h - flow.gamma * slope * (flow.J.T @ toward_h),
                      -flow.gamma * slope * toward_b])


def response_means(flow: Flow, x: Array, tangent: Array, signs: Array, probes: int,
                   ) -> dict[str, float]:
    """Site averages of the six responses, by the random signs of their kicks."""
    dphi = flow.phi.slope(x)[:, None] * tangent
    change = {"x": tangent, "phi": dphi, "f": flow.J @ dphi - tangent}
    halves = {"h": slice(0, probes), "b": slice(probes, 2 * probes)}
    return {f"{of}/{to}": float(np.mean(value[:, half] * signs[:, half]))
            for of, value in change.items() for to, half in halves.items()}


def rates(flow: Flow, x: Array, tangent: Array) -> tuple[Array, Array]:
    """Time derivatives of the state and of the tangent vectors, in two products of matrices."""
    slope, gamma = flow.phi.slope(x)[:, None], flow.gamma
    assert flow.phi.curvature is not None
    ahead = flow.J @ np.column_stack([slope * tangent, flow.phi.value(x)])
    ahead -= np.column_stack([tangent, x])  # changes of f, and f
    back = flow.J.T @ ahead
    change = ahead - gamma * slope * back
    bend = gamma * flow.phi.curvature(x) * back[:, -1]
    return change[:, -1], change[:, :-1] - bend[:, None] * tangent


def rk4(flow: Flow, x: Array, tangent: Array, dt: float) -> tuple[Array, Array]:
    """One step of state and tangent vectors together."""
    total, change = np.zeros_like(x), np.zeros_like(tangent)
    dx, dv = np.zeros_like(x), np.zeros_like(tangent)
    for share, weight in ((0.0, 1.0), (0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
        dx, dv = rates(flow, x + share * dt * dx, tangent + share * dt * dv)
        total, change = total + weight * dx, change + weight * dv
    return x + dt / 6 * total, tangent + dt / 6 * change


def compare(theory: TwoTime, draws: list[dict[str, Array]], options: dict[str, Any],
            ) -> dict[str, dict[str, Array]]:
    """Theory on the networks' times, mean and standard error of the networks, by quantity."""
    every = round(options["record"] / options["dt"])
    kicks = [round(kick / options["dt"]) for kick in options["kicks"]]
    table = {}
    for name in ("x", "phi", "f", *RESPONSES):
        source = theory.covariances if name in theory.covariances else theory.responses
        pick = np.s_[::every, ::every] if name in theory.covariances else np.s_[::every, kicks]
        stack = np.stack([draw[name] for draw in draws])
        # entries of one draw go up and down together: their mean is the sharper test
        offsets = np.nanmean(stack - source[name][pick], axis=(1, 2))
        spread = offsets.std(ddof=1) / np.sqrt(len(draws))
        table[name] = {
            "offset": np.array([offsets.mean(), spread]),
            "theory": source[name][pick], "theory_error": theory.errors[name][pick],
            "network": stack.mean(axis=0),
            "network_error": stack.std(axis=0, ddof=1) / np.sqrt(len(draws)),
        }
    return table


def report(table: dict[str, dict[str, Array]]) -> dict[str, tuple[float, float, float]]:
    """Print and return (rms difference / rms error, largest difference, largest value)."""
    rows = {}
    print(f"{'':8}{'rms diff/error':>16}{'max diff':>12}{'rms error':>12}{'max value':>12}"
          f"{'mean/error':>12}")
    for name, part in table.items():
        seen = np.isfinite(part["network"])
        difference = (part["theory"] - part["network"])[seen]
        error = np.hypot(part["theory_error"], part["network_error"])[seen]
        size = float(np.sqrt(np.mean(error**2)))
        ratio = float(np.sqrt(np.mean(difference**2))) / size
        largest, value = float(np.abs(difference).max()), float(np.abs(part["theory"][seen]).max())
        rows[name] = ratio, largest, value
        print(f"{name:8}{ratio:16.2f}{largest:12.5f}{size:12.5f}{value:12.4f}"
              f"{part['offset'][0] / part['offset'][1]:12.2f}")
    return rows


def draw(results: dict[str, Any], options: dict[str, Any], path: Path) -> None:
    """C(t, t), C(t, s) and the response of x, a row a point; theory as lines, networks as dots."""
    figure = Figure(figsize=(10, 2.6 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(results), 4, squeeze=False)
    times = options["record"] * np.arange(round(options["duration"] / options["record"]) + 1)
    for row, (label, table) in zip(axes, results.items(), strict=True):
        x, f = table["x"], table["f"]
        last = len(times) // 2
        lines = [
            ("C(t, t)", x["theory"].diagonal(), x["network"].diagonal(),
             x["network_error"].diagonal()),
            (f"C(t, s), s = {times[last]:g}", *(x[k][:, last]
                                                for k in ("theory", "network", "network_error"))),
            ("energy <f²>/2", f["theory"].diagonal() / 2, f["network"].diagonal() / 2,
             f["network_error"].diagonal() / 2),
        ]
        for axis, (title, theory, seen, error) in zip(row, lines, strict=False):
            axis.plot(times, theory, color="black", lw=1)
            axis.errorbar(times, seen, 2 * error, fmt=".", ms=3, lw=0.8, color="tab:red")
            axis.set(title=f"{label}: {title}", xlabel="t")
        row[2].set_yscale("log")
        part = table["x/h"]
        for k, kick in enumerate(options["kicks"]):
            color = f"C{k}"
            after = times >= kick
            row[3].plot(times[after] - kick, part["theory"][after, k], color=color, lw=1,
                        label=f"s = {kick:g}")
            row[3].errorbar(times[after] - kick, part["network"][after, k],
                            2 * part["network_error"][after, k], fmt=".", ms=3, lw=0.8, color=color)
        row[3].set(title="R(t, s), x to h", xlabel="t - s")
        row[3].legend(frameon=False, fontsize=8)
    for axis in axes.flat:
        axis.title.set_fontsize(9)
    with write_whole(path) as beside:
        figure.savefig(beside, dpi=150, format="png")


def main() -> None:
    """Solve, simulate, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one point, small networks, t to 4")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--points", nargs="*", help="g,gamma pairs instead of the usual three")
    parser.add_argument("--draws", type=int)
    parser.add_argument("--dt", type=float)
    parser.add_argument("--size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    options = dict(QUICK if asked.quick else SETTINGS)
    if asked.points:
        options["points"] = [tuple(float(v) for v in pair.split(",")) for pair in asked.points]
    options["draws"], options["n"] = asked.draws or options["draws"], asked.size or options["n"]
    options["dt"] = asked.dt or options["dt"]
    results: dict[str, Any] = {}
    for gain, gamma in options["points"]:
        start = time.perf_counter()
        theory = regulated(gain, gamma, duration=options["duration"], dt=options["dt"],
                           replicas=options["replicas"], seed=asked.seed)
        solved = time.perf_counter()
        draws = [network(gain, gamma, options, 1000 * asked.seed + k)
                 for k in range(options["draws"])]
        done = time.perf_counter()
        print(f"\ng = {gain:g}, gamma = {gamma:g}: theory {solved - start:.1f} s "
              f"({theory.trajectories} trajectories), networks {done - solved:.1f} s "
              f"({options['draws']} draws of N = {options['n']})")
        label = f"g={gain:g}, γ={gamma:g}"
        results[label] = compare(theory, draws, options)
        report(results[label])
    with write_whole(asked.out / "regulated_dmft.h5") as beside, h5py.File(beside, "w") as file:
        file.attrs["settings"] = json.dumps({**options, "seed": asked.seed})
        for label, table in results.items():
            for name, part in table.items():
                for kind, value in part.items():
                    file[f"{label}/{name.replace('/', ' to ')}/{kind}"] = value
    draw(results, options, asked.out / "regulated_dmft.png")


if __name__ == "__main__":
    main()
