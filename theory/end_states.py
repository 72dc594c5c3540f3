"""Where the regulated flow ends: which end states reach E = 0, and how unstable those are.

Claim (of the freezing-chaos paper). The regulated flow slides towards the unstable fixed points
behind the chaos. Asked here: does E reach 0, or a minimum above it; is the point that is reached
unstable under the vanilla flow, and by how much; and is it rest, x = 0, itself?

Derivation. At a zero of ∇E = (∂f)ᵀf either f = 0, a fixed point of the vanilla flow, or f ≠ 0 is in
the kernel of (∂f)ᵀ: a critical point with E > 0, at which the vanilla flow does not rest. Every
f = 0 is a global minimum of E, whatever its index under the vanilla flow, x = 0 included; there
∂f = J - I has N(½ - (1/π)(asin(1/g) + √(1-1/g²)/g)) unstable directions (the part of the disc of
radius g beyond 1). Relaxation is slow, algebraic where the lowest curvature of E vanishes: after
10² units no critical point is near. So the flow itself is carried to 10⁵ by an implicit method (BDF
with the exact Jacobian, whose steps grow as the flow slows down); then Newton's method ends at
rounding level, and the distance that it still went is given. Where that is not small, the point may
not be the flow's own.

Two kinds of start: x ~ N(0, 1), and states on the vanilla network's own attractor (what is frozen
in freeze_unfreeze.py), which know the fixed points that its chaos passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, mean_error, pm, save, spread, verdict
from protocol import start

from neurosparse.dynamics import Flow, end_states, gaussian_couplings, simulate
from neurosparse.report import paper, theme

NAME = "end_states"
FULL = {"g": [1.5, 2.0, 3.0, 5.0], "sizes": [100, 200, 400], "draws": 4, "starts": 8,
        "duration": 1e5, "spacing": 20.0}
QUICK = {"g": [2.0], "sizes": [40, 60], "draws": 2, "starts": 4, "duration": 1e4}
STARTS = ("N(0, 1)", "attractor")
KINDS = ("fixed point", "rest", "E > 0", "slow")


def rest_index(g: float) -> float:
    """Share of unstable directions of x = 0 as N grows: the part of the disc beyond 1."""
    c = 1 / g
    return float(0.5 - (np.arcsin(c) + c * np.sqrt(1 - c * c)) / np.pi) if g > 1 else 0.0


def one_draw(n: int, g: float, kind: str, starts: int, duration: float, spacing: float,
             seed: int) -> dict[str, Any]:
    """Of each start: kind (number in KINDS), E/N after a thousandth of the run and at the end, and
    the critical point's E/N, index/N, instability and distance.
    """
    J = gaussian_couplings(n, g, seed=seed)
    if kind == "attractor":
        run = simulate(Flow(J), start(n, seed), duration=100 + spacing * starts, transient=100.0,
                       record_every=spacing, energy=False)
        x0 = run.states[-starts:]
    else:
        x0 = np.random.default_rng([seed, 10]).standard_normal((starts, n))
    flow = Flow(J, 1.0)
    early, late = [], []
    for x in x0:
        run = simulate(flow, x, duration=duration, dt=duration / 1000, method="bdf",
                       tolerance=1e-7)
        early.append(run.energy[1])
        late.append(run.final)
    # no further run to speak of: which critical point it is, and its vanilla spectrum
    found = end_states(flow, x0=np.array(late), duration=0.01, looks=1)
    at_rest = np.sqrt(np.mean(found.points**2, axis=1)) < 1e-6
    kinds = [1 if rest else {"fixed": 0, "minimum E>0": 2, "slow": 3}[name]
             for rest, name in zip(at_rest, found.kinds, strict=True)]
    return {"kind": np.array(kinds), "early_energy": np.array(early) / n,
            "energy": found.energies[-1] / n, "point_energy": found.point_energies / n,
            "index": found.index / n,
            "instability": found.instability, "distance": found.distances}


def collect(s: dict[str, Any]) -> dict[str, Any]:
    """Arrays [g, N, start kind, draw, start]."""
    calls = [(n, g, kind, s["starts"], s["duration"], s["spacing"], s["seed"] + k)
             for g in s["g"] for n in s["sizes"] for kind in STARTS for k in range(s["draws"])]
    found = spread(one_draw, calls, s["workers"])
    shape = (len(s["g"]), len(s["sizes"]), len(STARTS), s["draws"], s["starts"])
    return {name: np.array([f[name] for f in found]).reshape(shape) for name in found[0]}


def draw(out: Any, s: dict[str, Any], data: dict[str, Any]) -> None:
    """Shares of the kinds at the largest N; energies over N; index and instability against g."""
    with figure(out, NAME, 7.0) as page:
        panels = page.subplots(4, 1)
        draw_shares(panels[0], s, data["kind"][:, -1])
        for row, g in enumerate(s["g"]):
            for column, style in enumerate(("--", "-")):
                energy = np.maximum(data["energy"][row, :, column], 1e-16)
                panels[1].plot(s["sizes"], np.median(energy, axis=(1, 2)), style, lw=1, ms=3.5,
                               marker=theme.series(row)[1], color=theme.ordered(row, len(s["g"])),
                               label=f"g = {g:g}" if column else None)
        panels[1].set(xscale="log", yscale="log", xlabel="N (from N(0, 1) dashed)",
                      ylabel="E/N at the end")
        panels[1].set_xticks(s["sizes"], [str(n) for n in s["sizes"]])
        panels[1].tick_params(axis="x", which="minor", labelbottom=False)
        panels[1].set_ylim(1e-20, None)
        panels[1].legend(frameon=False, ncols=4, fontsize=6.5, loc="lower left",
                         columnspacing=0.8, handlelength=1.4)
        grid = np.linspace(1, max(s["g"]) * 1.05, 200)
        panels[2].plot(grid, [rest_index(g) for g in grid], color=theme.light("soft"), lw=0.9,
                       label="rest, N = ∞")
        panels[3].plot(grid, grid - 1, color=theme.light("soft"), lw=0.9)
        for column, kind in enumerate(STARTS):
            for panel, name in ((panels[2], "index"), (panels[3], "instability")):
                for row, g in enumerate(s["g"]):
                    values = data[name][row, -1, column][data["kind"][row, -1, column] != 1]
                    spread_of(panel, g + 0.06 * (2 * column - 1), values, column)
            colour, mark = theme.series(column)
            panels[2].plot([], [], mark, color=colour, ms=4, label=f"from {kind}")
        panels[2].set(xlabel="g", ylabel="index/N", ylim=(0, None))
        panels[2].legend(frameon=False)
        panels[3].axhline(0, color=theme.light("soft"), lw=0.8)
        panels[3].set(xlabel="g", ylabel="largest real part")
        number = s["draws"] * s["starts"]
        largest = s["sizes"][-1]
        paper.letters(panels, [f"end states, N = {largest}, {number} starts each",
                               f"energy at t = {s['duration']:.0e}, median",
                               f"unstable directions, all but rest, N = {largest}",
                               "vanilla instability (median, 10 to 90 %)"])
        for panel in panels:
            theme.tidy(panel)


def draw_shares(panel: Any, s: dict[str, Any], kinds: Any) -> None:
    """Two bars for each g, one a kind of start."""
    colours = [theme.light(name) for name in ("strong", "faint", "warm", "ink")]
    for column in range(len(STARTS)):
        bottom = np.zeros(len(s["g"]))
        for number, label in enumerate(KINDS):
            share = (kinds[:, column] == number).mean(axis=(1, 2))
            panel.bar(np.arange(len(s["g"])) + 0.4 * column - 0.2, share, 0.36, bottom,
                      color=colours[number], label=label if column == 0 else None)
            bottom += share
    panel.set_xticks(np.arange(len(s["g"])), [f"{g:g}" for g in s["g"]])
    panel.set(xlabel="g (left bar: N(0, 1), right bar: attractor)", ylabel="share of ends",
              ylim=(0, 1))
    panel.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.12),
                 columnspacing=0.8, handlelength=1)


def spread_of(panel: Any, x: float, values: Any, number: int) -> None:
    """Median, and a bar from the first to the ninth decile."""
    if values.size:
        low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
        colour, mark = theme.series(number)
        panel.errorbar(x, middle, [[middle - low], [high - middle]], color=colour, marker=mark,
                       ms=4, ls="none")


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "4 minutes", FULL, QUICK)
    data = collect(s)
    kinds, others = data["kind"], data["kind"] != 1
    for row, g in enumerate(s["g"]):
        for size, n in enumerate(s["sizes"]):
            for column, kind in enumerate(STARTS):
                at = (row, size, column)
                shares = [mean_error((kinds[at] == number).mean(axis=1)) for number in range(4)]
                index, worst = (np.median(data[name][at][others[at]]) if others[at].any()
                                else np.nan for name in ("index", "instability"))
                print(f"g = {g:g}, N = {n}, from {kind}: " + ", ".join(
                    f"{label} {pm(*share)}" for label, share in zip(KINDS, shares, strict=True))
                    + f"; but for rest: index/N {index:.3f} (rest {rest_index(g):.3f}), largest "
                    f"real part {worst:.2f}; distance at most {data['distance'][at].max():.0e}, "
                    f"median E/N {np.median(data['early_energy'][at]):.1e} at "
                    f"t = {s['duration'] / 1000:g}, {np.median(data['energy'][at]):.1e} at the end")
    stable = int((data["index"][others] == 0).sum())
    arrived = float((data["distance"] < 1e-3).mean())
    save(out, NAME, s, {**data, "stable_ends": stable, "share_arrived": arrived,
                        "rest_index": np.array([rest_index(g) for g in s["g"]])})
    draw(out, s, data)
    by = [f"from {kind} {(kinds[:, :, column] == 0).mean():.0%} end at a fixed point, "
          f"{(kinds[:, :, column] == 1).mean():.0%} at rest itself, "
          f"{(kinds[:, :, column] == 2).mean():.0%} at a minimum with E > 0"
          for column, kind in enumerate(STARTS)]
    verdict("; ".join(by) + f" ({arrived:.0%} had arrived at t = {s['duration']:g}); "
            f"{stable} of {others.sum()} ends other than rest are stable under the vanilla flow")


if __name__ == "__main__":
    main()
