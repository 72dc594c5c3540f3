"""The control: chaos frozen by Hebbian plasticity, the other known way.

Claim (Clark and Abbott, Physical Review X 14, 021001, 2024). A network whose couplings gain a
Hebbian part, p A' = -A + (k/N) φφᵀ, and are then halted, J + A fixed, goes to rest next to where it
was if k is large ("freezable chaos"). Compared with the Onsager force on the same networks.

Derivation. If x changes slowly, A = (k/N) φφᵀ adds (k/N) φ |φ|² = k ⟨φ²⟩ φ to the input of each
neuron: a self-feedback along the state that was there, which deepens a well around it. The
couplings are changed for that, and with them the fixed points; the Onsager force leaves both as
they were. So two questions are asked of each: is λ after freezing not positive, and is the end
state a fixed point of the original network (E/N of J alone, against that of its chaos)?
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, mean_error, pm, save, spread, verdict
from protocol import over_windows, start

from neurosparse.dynamics import Flow, HebbianFlow, gaussian_couplings, simulate
from neurosparse.report import paper, theme

NAME = "hebbian_control"
FULL = {"n": 1000, "g": 2.0, "draws": 4, "strength": [0.0, 0.5, 1.0, 1.5, 2.0, 3.0],
        "timescale": 2.5, "learn": 100.0, "freeze": 200.0}
QUICK = {"n": 100, "g": 4.0, "draws": 2, "strength": [0.0, 3.0], "learn": 30.0, "freeze": 40.0}
NAMES = ("exponent", "energy", "kept", "activity")


def measures(J: Any, flow: Flow, halted: Any, duration: float) -> list[float]:
    """λ over the second half after freezing; E/N under J alone; overlap with the state at the
    time of freezing; |φ|²/N.
    """
    exponents, _, x, _ = over_windows(flow, [0.0, duration / 2, duration], halted)
    before, after = np.tanh(halted), np.tanh(x)
    size = np.linalg.norm(before) * np.linalg.norm(after)
    overlap = float(before @ after / size) if size > 1e-9 else 0.0
    return [float(exponents[-1]), Flow(J).energy(x) / x.size, overlap,
            float(after @ after) / x.size]


def one_draw(n: int, g: float, strength: float | None, timescale: float, learn: float,
             freeze: float, seed: int) -> list[float]:
    """Learn with this strength, then halt; None: no plasticity, the Onsager force instead."""
    J = gaussian_couplings(n, g, seed=seed)
    if strength is None:
        run = simulate(Flow(J), start(n, seed), duration=learn, record_every=learn)
        return measures(J, Flow(J, 1.0), run.final, freeze)
    plastic = HebbianFlow(J, strength, timescale)
    run = simulate(plastic, start(n, seed), duration=learn, record_every=learn)
    return measures(J, Flow(run.couplings), run.final, freeze)


def draw(out: Any, s: dict[str, Any], data: Any) -> None:
    """λ, E/N and the overlap over the strength; the Onsager force as a line."""
    with figure(out, NAME, 5.0) as page:
        panels = page.subplots(3, 1, sharex=True)
        for panel, column, label in zip(panels, range(3), ("λ after freezing", "E/N under J alone",
                                                           "overlap"), strict=True):
            values = np.log(np.maximum(data[..., 1], 1e-16)) if column == 1 else data[..., column]
            mean, error = mean_error(np.moveaxis(values, 1, 0))
            low, high = mean - np.nan_to_num(error), mean + np.nan_to_num(error)
            if column == 1:
                mean, low, high = np.exp(mean), np.exp(low), np.exp(high)
                panel.set_yscale("log")
            panel.errorbar(s["strength"], mean[:-1], [(mean - low)[:-1], (high - mean)[:-1]],
                           color=theme.light("strong"), marker="o", ms=3.5, lw=1,
                           label="Hebbian, halted")
            panel.axhline(mean[-1], color=theme.light("warm"), lw=1, label="Onsager, γ = 1")
            panel.axhspan(low[-1], high[-1], color=theme.light("warm"), alpha=0.2, lw=0)
            panel.set_ylabel(label)
            theme.tidy(panel)
        panels[0].axhline(0, color=theme.light("soft"), lw=0.8)
        panels[2].set_xlabel("Hebbian strength k")
        panels[1].legend(frameon=False)
        paper.letters(panels, [f"g = {s['g']:g}, N = {s['n']}, {s['draws']} draws",
                               "is the end a fixed point of J?", "with the state when frozen"])


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "2 minutes", FULL, QUICK)
    kinds = [*s["strength"], None]
    calls = [(s["n"], s["g"], kind, s["timescale"], s["learn"], s["freeze"], s["seed"] + k)
             for kind in kinds for k in range(s["draws"])]
    data = np.array(spread(one_draw, calls, s["workers"])).reshape(len(kinds), s["draws"], 4)
    save(out, NAME, s, {name: data[..., column] for column, name in enumerate(NAMES)})
    draw(out, s, data)
    frozen = []
    for row, kind in enumerate(kinds):
        pairs = [pm(*mean_error(data[row, :, column])) for column in range(4)]
        print(("Onsager, γ = 1" if kind is None else f"Hebbian, k = {kind:g}") + ": " + ", ".join(
            f"{name} {text}" for name, text in zip(NAMES, pairs, strict=True)))
        mean, error = mean_error(data[row, :, 0])
        if kind is not None and mean < max(0.0, 2 * np.nan_to_num(error)) and mean < 5e-3:
            frozen.append(kind)
    energy = np.exp(np.log(np.maximum(data[..., 1], 1e-16)).mean(axis=1))
    began = ("the networks are not chaotic before; " if 0.0 in frozen else "")
    verdict(f"{began}halted plasticity freezes from k = {min(frozen, default=float('nan')):g} on, "
            f"at E/N = {energy[-2]:.1g} of the original network for k = {s['strength'][-1]:g}; the "
            f"Onsager force comes to rest at {energy[-1]:.1g} (chaos: {energy[0]:.1g})")


if __name__ == "__main__":
    main()
