"""Chaos freezes when the Onsager force is switched on, and returns when it is off.

Claim. At g = 2 the vanilla network x' = f, f = -x + J tanh(x), is chaotic. With the force
-γ φ'(x)∘(Jᵀf) at γ = 1 its activity comes to rest; at γ = 0 again the chaos is back.

Derivation. E = |f|²/2 has the gradient ∇E = -(f - φ'∘Jᵀf), so that γ = 1 is x' = -∇E: E falls by
|∇E|² a unit of time and almost every trajectory ends where no exponent is positive.
The force is linear in f: it vanishes at the fixed points of the vanilla flow, which stay where
they are, with the instability that they have under the vanilla flow. So a state that was frozen
next to one leaves it when γ is 0 again. Before: λ is mean-field theory's, 0.11246 at g = 2.

Protocol of the freezing-chaos paper (reference/papers.md 1(c)1), with RK4 in place of Euler and
several draws. The exponent of a phase leaves out its first window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, mean_error, pm, save, spread, verdict
from protocol import start, three_phases

from neurosparse.dynamics import gaussian_couplings
from neurosparse.meanfield.max_exponent import max_exponent
from neurosparse.report import paper, theme
from neurosparse.report.log_axis import log_axis

NAME = "freeze_unfreeze"
FULL = {"n": 1000, "g": 2.0, "length": 100.0, "window": 10.0, "draws": 10, "neurons": 6}
QUICK = {"n": 200, "length": 40.0, "draws": 2}


def one_draw(n: int, g: float, length: float, window: float, neurons: int, seed: int) -> Any:
    """The three phases of one network."""
    J = gaussian_couplings(n, g, seed=seed)
    return three_phases(J, start(n, seed), length, window, neurons)


def draw(out: Any, settings: dict[str, Any], runs: list[dict[str, Any]], theory: float) -> None:
    """Activity of the first draw; energy and exponents of all."""
    length, window = settings["length"], settings["window"]
    with figure(out, NAME, 4.6) as page:
        top, middle, bottom = panels = page.subplots(3, 1, sharex=True, height_ratios=(1.25, 1, 1))
        first = runs[0]
        for neuron in range(first["states"].shape[1]):
            colour = theme.series(neuron)[0]
            top.plot(first["times"], first["states"][:, neuron], color=colour, lw=0.8)
        top.set_ylabel("x of one neuron")
        top.set_ylim(top.get_ylim()[0], 1.25 * top.get_ylim()[1])
        for number, run in enumerate(runs):
            middle.plot(run["times"], run["energy"], color=theme.light("faint"), lw=0.6,
                        label="draws" if number == 0 else None)
        typical = np.exp(np.mean([np.log(run["energy"]) for run in runs], axis=0))
        middle.plot(first["times"], typical, color=theme.light("strong"), label="geometric mean")
        log_axis(middle, [run["energy"] for run in runs])
        middle.set_ylabel("energy E/N")
        middle.legend(frameon=False, loc="lower left", handlelength=1.2)
        mean, error = mean_error([run["local"] for run in runs])
        centres = window * (np.arange(mean.size) + 0.5)
        bottom.axhline(0, color=theme.light("soft"), lw=0.8)
        bottom.axhline(theory, color=theme.light("warm"), lw=0.9, ls="--",
                       label="theory, γ = 0")
        paper.points(bottom, centres, mean, error, theme.light("strong"), gid="local")
        bottom.set(ylabel=f"λ over {window:g}", xlabel="time")
        bottom.legend(frameon=False, loc="lower left", handlelength=1.6)
        paper.letters(panels, [f"activity, one draw, N = {settings['n']}, g = {settings['g']:g}",
                               f"kinetic energy, {settings['draws']} draws",
                               "largest exponent, mean and its error"])
        for panel in panels:
            theme.tidy(panel)
            panel.axvspan(length, 2 * length, color=theme.light("rule"), alpha=0.5, lw=0)
            panel.set_xlim(0, 3 * length)
        for phase, gamma in enumerate((0, 1, 0)):
            top.text(length * (phase + 0.5), 0.97, f"γ = {gamma}", ha="center", va="top",
                     transform=top.get_xaxis_transform(),
                     bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 1.0})


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "2 minutes", FULL, QUICK)
    calls = [(s["n"], s["g"], s["length"], s["window"], s["neurons"], s["seed"] + k)
             for k in range(s["draws"])]
    runs = spread(one_draw, calls, s["workers"])
    theory = max_exponent(s["g"])
    phases, errors = mean_error([run["phase"] for run in runs])
    tail = round(s["length"] / 0.5)
    ends = np.exp(np.mean([[np.log(run["energy"][at]) for at in (tail, 2 * tail + 1, -1)]
                           for run in runs], axis=0))
    names = ("times", "states", "energy", "local", "phase")
    save(out, NAME, s, {**{name: np.array([run[name] for run in runs]) for name in names},
                        "theory_exponent": theory, "phase_mean": phases, "phase_error": errors,
                        "energy_at_phase_ends": ends})
    draw(out, s, runs, theory)
    for gamma, mean, error, energy in zip((0, 1, 0), phases, errors, ends, strict=True):
        print(f"γ = {gamma}: λ = {pm(mean, error)}, E/N at the end {energy:.2g}")
    print(f"mean-field theory at γ = 0: {theory:.5f}; N = {s['n']}, {s['draws']} draws")
    frozen = phases[1] < 0.1 * phases[0] and ends[1] < 0.1 * ends[0]
    back = phases[2] > 0.5 * phases[0] and phases[0] > 0
    verdict(f"chaos {'froze' if frozen else 'did not freeze'} (λ {phases[0]:.3f} to "
            f"{phases[1]:.4f}, E/N down {ends[0] / ends[1]:.0f}-fold) and "
            f"{'came back' if back else 'did not come back'} (λ {phases[2]:.3f})")


if __name__ == "__main__":
    main()
