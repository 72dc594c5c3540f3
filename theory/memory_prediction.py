"""Memory and prediction over gain, vanilla and regulated; and what the published score measures.

Claims. (a) With a readout that is fitted to the shifted target by ridge regression and scored on
later times, does regulation (γ = 1) help recall and prediction at high gain? Paired by network.
(b) The published script's memory curve says nothing about the network.

Derivation of (b). That script fits W to s(t) = sin(ωt), ω = 2π/100 a step, on all the data, and
scores the fit against s(t+τ). A uniform drive is of rank one and N = 1000 states fit 3000 points of
a sine, so that the fit is z(t) = s(t), and then

    1 - ⟨(z(t) - s(t+τ))²⟩/(1/2) = 1 - 2 (1 - cos ωτ),

for every network, g and γ: 0.618 at τ = 10. A readout from no network at all, the sine itself, has
the same score. A periodic signal is no test of memory either: one that holds the phase recalls
every delay. So recall is asked for white noise too, of which only a state that keeps it knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, mean_error, pm, save, spread, verdict
from protocol import start

from neurosparse.dynamics import Flow, gaussian_couplings, simulate
from neurosparse.dynamics.tasks import score, task_over_gain
from neurosparse.report import paper, theme

NAME = "memory_prediction"
FULL = {"n": 1000, "draws": 4, "g": [0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0], "steps": 3000, "dt": 0.01,
        "delay": 10, "noise_delays": [1, 2, 5, 10, 20, 50], "published_g": [0.5, 2.0, 5.0],
        "published_n": 1000}
QUICK = {"n": 60, "draws": 2, "g": [0.5, 2.0], "steps": 600, "noise_delays": [1, 10],
         "published_g": [2.0], "published_n": 400}
TASKS = {"recall of a sine": ("memory", {"signal": "sine"}),
         "recall of noise": ("memory", {"signal": "noise"}),
         "prediction of sines": ("prediction", {"signal": "sines"})}
OMEGA = 2 * np.pi * 0.01


def published(n: int, g: float, gamma: float, steps: int, dt: float, seed: int) -> Any:
    """Scores at τ = 1 .. 10 the way that the published script forms them."""
    J = gaussian_couplings(n, g, seed=seed)
    flow = Flow(J, gamma, drive=lambda t: np.full(n, np.sin(OMEGA * t / dt)))
    states = simulate(flow, start(n, seed), duration=(steps - 1) * dt, dt=dt, energy=False).states
    s = np.sin(OMEGA * np.arange(steps + 10))
    # its (XXᵀ)⁻¹ XS on a nearly singular matrix, done stably
    said = states @ np.linalg.lstsq(states, s[:steps], rcond=None)[0]
    return np.array([score(said, s[tau:steps + tau]) for tau in range(1, 11)])


def curves(s: dict[str, Any]) -> dict[str, Any]:
    """``TaskCurves`` by name of the task."""
    found = {}
    for label, (task, options) in TASKS.items():
        delays = s["noise_delays"] if "noise" in label else [s["delay"]]
        found[label] = task_over_gain(
            task, s["g"], (0.0, 1.0), n=s["n"], draws=s["draws"], seed=s["seed"],
            options={**options, "delays": delays, "steps": s["steps"], "dt": s["dt"]},
            workers=0 if s["quick"] else s["workers"])
    return found


def compared(label: str, by_draw: Any) -> tuple[str, Any]:
    """What is compared: log10 of the error 1 - score, or the capacity; larger is better."""
    if "noise" in label:
        return "sum of scores", by_draw
    return "-log10(1 - score)", -np.log10(np.maximum(1 - by_draw, 1e-16))


def draw(out: Any, s: dict[str, Any], tasks: dict[str, Any], scores: dict[str, Any]) -> None:
    """One panel a task over gain, and the published scores over τ."""
    with figure(out, NAME, 7.0) as page:
        panels = page.subplots(4, 1)
        for panel, (label, task) in zip(panels, tasks.items(), strict=False):
            name, values = compared(label, task)
            logarithmic = "log" in name
            for column, gamma in enumerate((0, 1)):
                mean, error = mean_error(values[:, column].T)
                colour, mark = theme.series(column)
                low, high = mean - np.nan_to_num(error), mean + np.nan_to_num(error)
                if logarithmic:  # drawn as the error itself
                    mean, low, high = 10.0**-mean, 10.0**-high, 10.0**-low
                panel.errorbar(s["g"], mean, [mean - low, high - mean], color=colour, marker=mark,
                               ms=3.5, lw=1, label=f"γ = {gamma}")
            panel.set(xlabel="g", ylabel="1 - score" if logarithmic else name,
                      yscale="log" if logarithmic else "linear")
        panels[0].legend(frameon=False)
        tau = np.arange(1, 11)
        panels[3].plot(tau, 1 - 2 * (1 - np.cos(OMEGA * tau)), color=theme.light("warm"),
                       label="1 - 2 (1 - cos ωτ)")
        for number, (label, values) in enumerate(scores.items()):
            panels[3].plot(tau, values, theme.series(number)[1], ms=3 + 0.6 * number, mfc="none",
                           mew=0.7, color=theme.series(number)[0], label=label)
        panels[3].set(xlabel="τ in steps", ylabel="published score")
        panels[3].legend(frameon=False, ncols=2, fontsize=6.5, columnspacing=0.8)
        delays = ", ".join(map(str, s["noise_delays"]))
        paper.letters(panels, [f"recall of a sine, τ = {s['delay']}, N = {s['n']}, "
                               f"{s['draws']} draws", f"recall of noise, τ = {delays}",
                               f"prediction of three sines, τ = {s['delay']}",
                               f"published score, N = {s['published_n']}"])
        for panel in panels:
            theme.tidy(panel)


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "8 minutes", FULL, QUICK)
    found = curves(s)
    calls = [(s["published_n"], g, gamma, s["steps"], s["dt"], s["seed"])
             for g in s["published_g"] for gamma in (0.0, 1.0)]
    wrong = spread(published, calls, s["workers"])
    scores = {f"g = {c[1]:g}, γ = {c[2]:g}": v for c, v in zip(calls, wrong, strict=True)}
    formula = 1 - 2 * (1 - np.cos(OMEGA * np.arange(1, 11)))
    apart = max(float(np.abs(v - formula).max()) for v in wrong)
    arrays: dict[str, Any] = {"published": np.array(wrong), "formula": formula,
                              "published_distance": apart}
    said = []
    for label, task in found.items():
        name = "capacity" if "noise" in label else "scores"
        by_draw = task.sweep.values[name].reshape(len(s["g"]), 2, s["draws"])
        arrays[label] = by_draw
        quantity, values = compared(label, by_draw)
        gain, error = mean_error((values[:, 1] - values[:, 0]).T)
        print(f"{label}, {quantity}, N = {s['n']}, {s['draws']} draws (γ = 0; γ = 1; paired "
              "difference):")
        for row, g in enumerate(s["g"]):
            pair = [pm(*mean_error(values[row, column])) for column in (0, 1)]
            print(f"  g = {g:g}: {pair[0]}; {pair[1]}; {pm(gain[row], error[row])}")
        more = [f"{g:g}" for g, d, e in zip(s["g"], gain, error, strict=True) if d > 2 * e]
        less = [f"{g:g}" for g, d, e in zip(s["g"], gain, error, strict=True) if d < -2 * e]
        said.append(f"{label}: regulation is better at g = {', '.join(more) or 'none'}, worse at "
                    f"{', '.join(less) or 'none'}")
    save(out, NAME, s, arrays)
    draw(out, s, {label: arrays[label] for label in found}, scores)
    verdict("; ".join(said) + f"; the published score is 1 - 2(1 - cos ωτ) to {apart:.1e}, "
            f"{formula[-1]:.3f} at τ = 10, at every g and γ")


if __name__ == "__main__":
    main()
