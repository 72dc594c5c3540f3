"""The phase diagram over gain g and Onsager switch γ: what the third, chaotic regime is.

Open question. Under the regulated flow three regimes were reported as g grows: rest, slow states
next to fixed points, and chaos. Is the third one real, a finite-time effect, an artefact of Euler
steps of 0.01, or a statement about 0 < γ < 1?

Derivation. At γ = 1 the flow is x' = -∇E with E = |f|²/2 analytic and growing like |x|²/2: every
trajectory converges to a critical point of E, and almost every one to a point where -∇²E, the
Jacobian, has no positive eigenvalue. So no asymptotic exponent is positive, at any g and N, but on
a set of starts of measure zero, and what is measured as positive is (i) a window in
which the state still passes saddles of E: it must shrink as windows move on, while E falls; or (ii)
the integrator: the steepest curvature at rest is λ₊(g) of random-matrix theory, and Euler's step is
unstable above 2/λ₊, which 0.01 is from g = 7.0 on. Then E does not fall as it has to. At γ < 1 E
need not fall and chaos can stay: there exponents keep their value from window to window.

Measured: exponents over growing windows with RK4 inside its stable range over (g, γ); Euler with
dt = 0.01 against RK4 at γ = 1; growing N at one chaotic and one regulated point.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from common import arguments, figure, mean_error, save, spread, verdict
from matplotlib.colors import TwoSlopeNorm
from matplotlib.lines import Line2D
from protocol import over_windows, start

from neurosparse.dynamics import Flow, StabilityWarning, gaussian_couplings
from neurosparse.meanfield.random_matrices import regulated_edges
from neurosparse.report import paper, theme

NAME = "phase_diagram"
FULL = {"n": 200, "draws": 4, "g": [0.5, 0.9, 1.5, 2.0, 3.0, 5.0, 8.0],
        "gamma": [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0], "edges": [0, 50, 100, 200, 400],
        "euler_g": [3.0, 5.0, 6.0, 7.0, 8.0, 10.0], "euler_dt": 0.01,
        "size_g": 3.0, "size_gamma": [0.2, 1.0], "sizes": [250, 500, 1000, 2000], "largest": 2000,
        "size_edges": [0, 25, 50, 100]}
QUICK = {"n": 80, "draws": 2, "g": [0.5, 5.0], "gamma": [0.0, 0.1, 1.0], "edges": [0, 8, 16, 32],
         "euler_g": [3.0, 8.0], "sizes": [40], "largest": 80, "size_edges": [0, 10, 20]}
CHAOS = 0.01  # an exponent below this is not told from zero here


def point(n: int, g: float, gamma: float, edges: list[float], seed: int, method: str = "rk4",
          dt: float | None = None) -> tuple[Any, Any, float, float]:
    """Exponents over the windows, E/N at the edges, |x|²/N at the end, and the step."""
    flow = Flow(gaussian_couplings(n, g, seed=seed), gamma)
    with warnings.catch_warnings():
        # to leave the stable range is the point here; far outside it the state is not finite
        warnings.simplefilter("ignore", StabilityWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        exponents, energies, x, step = over_windows(flow, edges, start(n, seed), method=method,
                                                    dt=dt)
    return exponents, energies, float(x @ x) / n, step


def plane(s: dict[str, Any]) -> dict[str, Any]:
    """RK4 over (g, γ): arrays [g, γ, draw, ...]."""
    calls = [(s["n"], g, gamma, s["edges"], s["seed"] + k)
             for g in s["g"] for gamma in s["gamma"] for k in range(s["draws"])]
    found = spread(point, calls, s["workers"])
    shape = (len(s["g"]), len(s["gamma"]), s["draws"])
    names = ("exponents", "energies", "activity", "step")
    arrays = {name: np.array(values) for name, values in
              zip(names, zip(*found, strict=True), strict=True)}
    return {name: values.reshape(*shape, *values.shape[1:]) for name, values in arrays.items()}


def integrators(s: dict[str, Any]) -> dict[str, Any]:
    """γ = 1: Euler at the published step and RK4, [g, (Euler, RK4), draw, ...]."""
    calls = [(s["n"], g, 1.0, s["edges"], s["seed"] + k, method, dt) for g in s["euler_g"]
             for method, dt in (("euler", s["euler_dt"]), ("rk4", None))
             for k in range(min(2, s["draws"]))]
    found = spread(point, calls, s["workers"])
    shape = (len(s["euler_g"]), 2, min(2, s["draws"]))
    exponents, energies = np.array([f[0] for f in found]), np.array([f[1] for f in found])
    return {"exponents": exponents.reshape(*shape, -1), "energies": energies.reshape(*shape, -1),
            "limit": np.array([2 / regulated_edges(g)[1] for g in s["euler_g"]])}


def sizes(s: dict[str, Any]) -> dict[str, Any]:
    """Exponents over windows for growing N, [N, γ, window], one draw above 1000."""
    all_sizes = sorted({*s["sizes"], s["largest"]})
    calls, owner = [], []
    for row, n in reversed(list(enumerate(all_sizes))):  # the long ones first
        for column, gamma in enumerate(s["size_gamma"]):
            for k in range(s["draws"] if n < 1000 else 2 if n == 1000 else 1):
                calls.append((n, s["size_g"], gamma, s["size_edges"], s["seed"] + k))
                owner.append((row, column))
    found = spread(point, calls, s["workers"])
    shape = (len(all_sizes), len(s["size_gamma"]))
    mean = np.empty((*shape, len(s["size_edges"]) - 1))
    error, energy = np.empty_like(mean), np.empty((*shape, len(s["size_edges"])))
    for at in np.ndindex(shape):
        mine = [f for f, who in zip(found, owner, strict=True) if who == at]
        mean[at], error[at] = mean_error([f[0] for f in mine])
        energy[at] = np.mean([f[1] for f in mine], axis=0)
    return {"n": np.array(all_sizes), "mean": mean, "error": error, "energies": energy}


def regimes(found: dict[str, Any]) -> Any:
    """[g, γ]: 0 rest, 1 slow, 2 chaos; chaos in the last window, and E not below 10⁻³."""
    last, error = mean_error(np.moveaxis(found["exponents"][..., -1], 2, 0))
    energy = found["energies"][..., -1].mean(axis=2)
    chaos = (last > np.maximum(CHAOS, 2 * np.nan_to_num(error))) & (energy > 1e-3)
    rest = found["activity"].mean(axis=2) < 1e-2
    return np.where(chaos, 2, np.where(rest, 0, 1))


def draw(out: Any, s: dict[str, Any], found: dict[str, Any], kind: Any, steps: dict[str, Any],
         grown: dict[str, Any]) -> None:
    """The plane; γ = 1 over windows; Euler against RK4; growing N."""
    with figure(out, NAME, 7.8) as page:
        upper, lower = page.subfigures(2, 1, height_ratios=(1, 2.4))
        panels = [upper.subplots(), *lower.subplots(3, 1)]
        draw_plane(upper, panels[0], s, found, kind)
        middles = 0.5 * (np.array(s["edges"][:-1]) + s["edges"][1:])
        for row, g in enumerate(s["g"]):
            mean, error = mean_error(found["exponents"][row, -1])
            panels[1].errorbar(middles, mean, error, marker=theme.series(row)[1], ms=3, lw=1,
                               color=theme.ordered(row, len(s["g"])), label=f"{g:g}")
        panels[1].axhline(0, color=theme.light("soft"), lw=0.8)
        panels[1].set(xlabel="middle of the window", ylabel="λ at γ = 1")
        panels[1].legend(frameon=False, title="g", title_fontsize=7, ncols=2, fontsize=6.5,
                         loc="lower right", columnspacing=0.8, handlelength=1.2)
        ratio = steps["energies"][..., -1] / steps["energies"][..., 0]
        for column, (label, colour) in enumerate((("Euler, dt = 0.01", "warm"),
                                                  ("RK4, stable step", "strong"))):
            mean = np.exp(np.log(ratio[:, column]).mean(axis=1))
            panels[2].plot(s["euler_g"], mean, "o-" if column else "s-", ms=3.5,
                           color=theme.light(colour), label=label)
        gone = ~np.isfinite(ratio[:, 0]).all(axis=1)
        panels[2].plot(np.array(s["euler_g"])[gone], np.ones(gone.sum()), "x",
                       color=theme.light("warm"), label="diverged" if gone.any() else None)
        fine = np.linspace(0.5, 20, 2000)
        edge = fine[np.argmax([2 / regulated_edges(g)[1] < s["euler_dt"] for g in fine])]
        panels[2].axvline(edge, color=theme.light("soft"), ls=":", lw=1)
        panels[2].text(edge, 0.97, "Euler unstable → ", transform=panels[2].get_xaxis_transform(),
                       va="top", ha="right", fontsize=7)
        panels[2].set(yscale="log", xlabel="g", ylabel="E(end)/E(0), γ = 1")
        panels[2].legend(frameon=False, loc="center left")
        for column, gamma in enumerate(s["size_gamma"]):
            for window in range(grown["mean"].shape[2]):
                first, last = s["size_edges"][window:window + 2]
                panels[3].errorbar(
                    grown["n"], grown["mean"][:, column, window],
                    np.nan_to_num(grown["error"][:, column, window]), lw=1, ms=3.5,
                    marker=theme.series(window)[1], ls="-" if column else "--",
                    color=theme.light("strong" if column else "warm"),
                    label=f"γ = {gamma:g}, [{first}, {last}]")
        panels[3].axhline(0, color=theme.light("soft"), lw=0.8)
        panels[3].set(xscale="log", xlabel="N", ylabel=f"λ at g = {s['size_g']:g}",
                      xticks=grown["n"], xticklabels=[str(n) for n in grown["n"]])
        panels[3].minorticks_off()
        paper.key(panels[3], columns=2)
        paper.letters(panels, [f"λ over the last window, N = {s['n']}, {s['draws']} draws",
                               f"γ = 1 over windows, N = {s['n']}, {s['draws']} draws",
                               f"does E fall at γ = 1? N = {s['n']}",
                               f"growing N, up to {s['draws']} draws"])
        for panel in panels[1:]:
            theme.tidy(panel)


def draw_plane(page: Any, axes: Any, s: dict[str, Any], found: dict[str, Any], kind: Any) -> None:
    """Coloured cells of λ with the regime's mark."""
    last = found["exponents"][..., -1].mean(axis=2)
    top = max(0.1, float(np.nanmax(last)))
    cells = axes.pcolormesh(last.T, cmap="RdBu_r", norm=TwoSlopeNorm(0.0, min(-0.1, -top / 3), top),
                            edgecolors="white", linewidth=0.6)
    page.colorbar(cells, ax=axes, label="λ", pad=0.02)
    marks = {0: ("_", "rest"), 1: ("o", "slow"), 2: ("*", "chaos")}
    for value, (mark, _) in marks.items():
        at = np.argwhere(kind == value) + 0.5
        axes.plot(at[:, 0], at[:, 1], mark, color="black", ms=3.5, ls="none", mew=0.7,
                  mfc="none" if mark == "o" else "black")
    axes.set_xticks(np.arange(len(s["g"])) + 0.5, [f"{g:g}" for g in s["g"]])
    axes.set_yticks(np.arange(len(s["gamma"])) + 0.5, [f"{v:g}" for v in s["gamma"]])
    axes.set(xlabel="g", ylabel="γ")
    axes.tick_params(length=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.1), ncols=3, frameon=False,
                columnspacing=1, handletextpad=0.2, handles=[
        Line2D([], [], color="black", marker=mark, ls="none", ms=4, label=label,
               mfc="none" if mark == "o" else "black") for mark, label in marks.values()])


def answer(s: dict[str, Any], found: dict[str, Any], kind: Any, steps: dict[str, Any],
           ) -> tuple[str, dict[str, float]]:
    """The verdict, and the numbers behind it."""
    regulated = found["exponents"][:, -1].mean(axis=1)
    early, late = float(np.nanmax(regulated[:, :-1])), float(np.nanmax(regulated[:, -1]))
    energy = found["energies"][:, -1]
    risen = int((np.diff(energy, axis=-1) > 1e-12).sum())
    euler = steps["energies"][:, 0]
    wrong = ~(euler[..., -1] < 3 * steps["energies"][:, 1, :, -1])  # NaN is wrong too
    unstable = [g for g, bad in zip(s["euler_g"], wrong.any(axis=1), strict=True) if bad]
    vanilla = [g for g, k in zip(s["g"], kind[:, 0], strict=True) if k == 2]
    reach = [max((v for v, k in zip(s["gamma"], row, strict=True) if k == 2), default=np.nan)
             for row in kind]
    highest = float(np.nanmax([*reach, -1.0]))
    numbers = {"largest_regulated_exponent_early": early, "largest_regulated_exponent_late": late,
               "regulated_energy_rises": risen, "largest_gamma_with_chaos": highest,
               "euler_wrong_from_g": min(unstable, default=np.nan)}
    real = risen == 0 and late < max(CHAOS, early)
    text = (f"at γ = 1 the chaotic regime is {'not ' if real else ''}real: λ of at most "
            f"{early:.3f} in early windows ends at {late:.4f}, E rose {risen} times with RK4; "
            f"Euler at {s['euler_dt']:g} stays above RK4's E at g = {unstable or 'none of these'}; "
            f"chaos that stays needs γ < 1 (seen up to γ = {highest:g}; at γ = 0 for g = "
            f"{vanilla})")
    return text, numbers


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "10 minutes", FULL, QUICK)
    found, steps, grown = plane(s), integrators(s), sizes(s)
    kind = regimes(found)
    text, numbers = answer(s, found, kind, steps)
    save(out, NAME, s, {**{f"plane/{k}": v for k, v in found.items()}, "plane/regime": kind,
                        **{f"euler/{k}": v for k, v in steps.items()},
                        **{f"size/{k}": v for k, v in grown.items()}, **numbers})
    draw(out, s, found, kind, steps, grown)
    print(f"λ over the windows of {s['edges']}, γ = 1, N = {s['n']}, {s['draws']} draws:")
    for row, g in enumerate(s["g"]):
        mean, error = mean_error(found["exponents"][row, -1])
        print(f"  g = {g:g}: " + "  ".join(f"{m:+.4f} ± {e:.4f}" for m, e in
                                         zip(mean, error, strict=True)))
    for g, row in zip(s["g"], kind, strict=True):
        chaotic = [f"{v:g}" for v, k in zip(s["gamma"], row, strict=True) if k == 2]
        print(f"g = {g:g}: chaos at γ = {', '.join(chaotic) or 'none'}")
    print("Euler 0.01 / RK4 at γ = 1, last window and E(end)/E(0):")
    for row, g in enumerate(s["euler_g"]):
        last = steps["exponents"][row, :, :, -1].mean(axis=1)
        fall = (steps["energies"][row, :, :, -1] / steps["energies"][row, :, :, 0]).mean(axis=1)
        print(f"  g = {g:g} (limit {steps['limit'][row]:.4f}): λ {last[0]:+.4f} / {last[1]:+.4f}, "
              f"E {fall[0]:.1e} / {fall[1]:.1e}")
    for column, gamma in enumerate(s["size_gamma"]):
        print(f"γ = {gamma:g}, g = {s['size_g']:g}, windows of {s['size_edges']}: " + "; ".join(
            f"N = {n}: " + " ".join(f"{v:+.4f}" for v in grown["mean"][row, column])
            for row, n in enumerate(grown["n"])))
    verdict(text)


if __name__ == "__main__":
    main()
