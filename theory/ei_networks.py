"""Excitatory-inhibitory networks: first show the chaos, then freeze it.

Claim. The Onsager force freezes chaos in networks of two populations, with average and with strict
Dale's law, if there is chaos to freeze. With the published demonstration parameters there is none.

Derivation. J = g S∘(A diag(σ) + 1μᵀ)/√N has, as N grows, a bulk of eigenvalues in a disc of radius

    R² = g² Σ_p f_p [α σ_p² + α(1-α) μ_p²]

and one outlier at g √N α Σ_p f_p μ_p. Rest is unstable under x' = -x + J tanh(x) only if R > 1 (or
the outlier is above 1). For (σ, σ, f, μ, μ, α) = (0.9, 0.9, 0.4, 0.6, -0.6, 0.8), R = 0.84 at
g = 1: the network goes to rest by itself. A gain of 2.4 makes it R = 2. Folding entries onto their
sign (strict Dale's law) keeps σ² + μ² and moves both; R follows from the moments of the fold.
At γ = 1 the part 1μᵀ makes the flow stiff though its eigenvalue is harmless: the steepest curvature
at rest is the largest squared singular value of I - J, about N (gα)² ⟨μ²⟩, so that the stable step
falls as 1/N. Euler with 0.01 is outside its range at the published N = 1000.

Protocol: γ = 0, 1, 0 as in freeze_unfreeze.py, with the exponent of each phase.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, mean_error, pm, save, spread, verdict
from protocol import start, three_phases

from neurosparse.dynamics import ei_couplings, ei_outlier, ei_radius
from neurosparse.report import paper, theme
from neurosparse.report.log_axis import log_axis

NAME = "ei_networks"
ENSEMBLE = {"std_e": 0.9, "std_i": 0.9, "excitatory": 0.4, "mean_e": 0.6, "mean_i": -0.6,
            "density": 0.8}
FULL = {"n": 400, "draws": 4, "length": 100.0, "window": 10.0,
        "networks": [["published", 1.0, "average"], ["R = 2", 2.0, "average"],
                     ["R = 2, strict signs", 2.0, "strict"]]}
QUICK = {"n": 80, "draws": 2, "length": 20.0, "window": 5.0}


def gain_for(radius: float, dale: Any) -> float:
    """The g that makes the bulk's radius this; the published network keeps g = 1."""
    return radius / ei_radius(**ENSEMBLE, dale=dale)


def one_draw(n: int, g: float, dale: Any, length: float, window: float, seed: int) -> Any:
    """Bulk radius and outlier of one network, and its three phases."""
    J = np.asarray(ei_couplings(n, **ENSEMBLE, gain=g, dale=dale, storage="dense", seed=seed))
    values = np.linalg.eigvals(J)
    stiff = np.linalg.norm(np.eye(n) - J, 2) ** 2
    outlier = ei_outlier(n, **ENSEMBLE, gain=g, dale=dale)
    far = int(np.argmin(np.abs(values - outlier)))
    run = three_phases(J, start(n, seed), length, window, 0)
    return {"radius": float(np.abs(np.delete(values, far)).max()),
            "outlier": float(values[far].real), "eigenvalues": values,
            "euler_limit": 2 / stiff, **run}


def draw(out: Any, s: dict[str, Any], runs: dict[str, list[Any]], radii: dict[str, float]) -> None:
    """Eigenvalues of one draw of the middle network; energies; exponents by phase."""
    with figure(out, NAME, 5.6) as page:
        panels = page.subplots(3, 1, height_ratios=(1.3, 1, 1))
        labels = list(runs)
        for number in (1, 0):
            values, colour = runs[labels[number]][0]["eigenvalues"], theme.series(number)[0]
            panels[0].plot(values.real, values.imag, ".", ms=1.6, color=colour)
            angle = np.linspace(0, 2 * np.pi, 300)
            panels[0].plot(radii[labels[number]] * np.cos(angle),
                           radii[labels[number]] * np.sin(angle), color=colour, lw=0.9)
        panels[0].axvline(1, color=theme.light("warm"), ls="--", lw=0.9)
        panels[0].set(aspect="equal", xlabel="Re", ylabel="Im")
        for number, (label, found) in enumerate(runs.items()):
            colour, mark = theme.series(number)
            typical = np.exp(np.mean([np.log(np.maximum(f["energy"], 1e-30)) for f in found],
                                     axis=0))
            panels[1].plot(found[0]["times"], np.where(typical > 1e-14, typical, np.nan),
                           color=colour, label=label)
            mean, error = mean_error([f["phase"] for f in found])
            panels[2].errorbar(np.arange(3) + 0.12 * (number - 1), mean, np.nan_to_num(error),
                               color=colour, marker=mark, ls="none", ms=4, label=label)
        log_axis(panels[1], [line.get_ydata() for line in panels[1].lines])
        panels[1].axvspan(s["length"], 2 * s["length"], color=theme.light("rule"), alpha=0.5, lw=0)
        panels[1].set(xlabel="time (γ = 1 in the grey part)", ylabel="energy E/N")
        panels[2].axhline(0, color=theme.light("soft"), lw=0.8)
        panels[2].set(ylabel="λ of the phase", xticks=range(3))
        panels[2].set_xticklabels(["γ = 0", "γ = 1", "γ = 0 again"])
        panels[2].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3,
                         columnspacing=0.8, handletextpad=0.2)
        paper.letters(panels, [f"eigenvalues and R, N = {s['n']}",
                               f"energy, geometric mean of {s['draws']} draws",
                               f"largest exponent, {s['draws']} draws"])
        for panel in panels:
            theme.tidy(panel)


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "4 minutes", FULL, QUICK)
    gains = {label: 1.0 if label == "published" else gain_for(radius, dale)
             for label, radius, dale in s["networks"]}
    calls = [(s["n"], gains[label], dale, s["length"], s["window"], s["seed"] + k)
             for label, _, dale in s["networks"] for k in range(s["draws"])]
    found = spread(one_draw, calls, s["workers"])
    runs, radii, arrays, said = {}, {}, {}, []
    for number, (label, _, dale) in enumerate(s["networks"]):
        mine = runs[label] = found[number * s["draws"]:(number + 1) * s["draws"]]
        options = {**ENSEMBLE, "gain": gains[label], "dale": dale}
        radii[label], outlier = ei_radius(**options), ei_outlier(s["n"], **options)
        phases, errors = mean_error([f["phase"] for f in mine])
        seen = [mean_error([f[name] for f in mine]) for name in ("radius", "outlier")]
        print(f"{label}: g = {gains[label]:.3f}, R = {radii[label]:.3f} (seen {pm(*seen[0])}), "
              f"outlier {outlier:.2f} (seen {pm(*seen[1])}), Euler stable at γ = 1 below dt = "
              f"{mine[0]['euler_limit']:.4f}; λ at γ = 0, 1, 0: "
              + ", ".join(pm(m, e) for m, e in zip(phases, errors, strict=True)))
        arrays |= {f"{label}/{name}": np.array([f[name] for f in mine])
                   for name in ("phase", "local", "energy", "times", "radius", "outlier",
                                "euler_limit")}
        arrays |= {f"{label}/gain": gains[label], f"{label}/radius_theory": radii[label],
                   f"{label}/outlier_theory": outlier}
        chaos, frozen = phases[0] > 2 * errors[0], phases[1] < 0.1 * phases[0]
        back = phases[2] > 2 * errors[2]
        said.append(f"{label} (R = {radii[label]:.2f}): " + (
            f"chaos (λ = {phases[0]:.3f}) {'frozen' if frozen else 'not frozen'} "
            f"({phases[1]:.4f}) and {'back' if back else 'not back'}" if chaos
            else f"no chaos to freeze (λ = {phases[0]:.3f})" if phases[0] < 0
            else f"chaos not certain (λ = {pm(phases[0], errors[0])}), {phases[1]:.4f} at γ = 1"))
    save(out, NAME, s, arrays)
    draw(out, s, runs, radii)
    print(f"N = {s['n']}, {s['draws']} draws, phases of {s['length']:g}")
    verdict("; ".join(said))


if __name__ == "__main__":
    main()
