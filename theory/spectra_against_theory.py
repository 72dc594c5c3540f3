"""Lyapunov spectra of networks against mean-field theory, and the regulated flow at rest.

Claims and derivations.
(a) Vanilla, g > 1: λ₁ = -1 + √(1 - E₀) with E₀ the ground energy of -∂² + 1 - g²⟨φ'φ'⟩(τ) in the
    stationary autocovariance (Sompolinsky, Crisanti and Sommers 1988), at N = ∞.
(b) All exponents i = 1 .. N against i/N: the density of Clark (arXiv 2610.12426) at g = 2; at rest
    (g < 1) the tangent flow is exp(t(J - I)) and exponents are real parts of eigenvalues of J - I,
    uniform on a disc by the circular law, so that λ has a semicircle of radius g about -1.
(c) Regulated, γ = 1, g < 1: the flow linearises at rest to -(I-J)ᵀ(I-J), symmetric, so that the
    largest exponent is minus the smallest squared singular value of I - J, for every J. As N grows
    that is λ₋ = g² (√(1+8a) - 3)³ / (8 (√(1+8a) - 1)), a = 1/g², approached as N^(-2/3), as at any
    soft edge.

Measured: exponents of full nonlinear flows from x(0) ~ N(0, 1), by QR. The limit in (c) is fitted
as b + c N^(-2/3) + d/N to singular values over N, which needs no flow, after the flow has been
shown to have them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, mean_error, pm, save, spread, verdict
from protocol import start

from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.lyapunov import spectrum
from neurosparse.meanfield.density import full_thresholds, spectrum_density
from neurosparse.meanfield.max_exponent import max_exponent
from neurosparse.meanfield.random_matrices import regulated_edges
from neurosparse.report import paper, theme

NAME = "spectra_against_theory"
FULL = {"g": [1.2, 1.5, 2.0, 3.0, 5.0], "n": 1000, "draws": 4, "duration": 400.0,
        "full_g": [0.5, 2.0], "full_n": 300, "full_draws": 2, "full_duration": 250.0,
        "regulated_g": [0.3, 0.5, 0.7], "regulated_n": 200, "regulated_draws": 4,
        "regulated_duration": 1000.0, "edge_n": [100, 200, 400, 800, 1600], "edge_draws": 16}
QUICK = {"g": [2.0], "n": 200, "draws": 2, "duration": 100.0, "full_n": 40, "full_draws": 1,
         "full_duration": 80.0, "regulated_n": 40, "regulated_draws": 1,
         "regulated_duration": 400.0, "edge_n": [50, 100, 200], "edge_draws": 4}


def leading(n: int, g: float, duration: float, seed: int) -> tuple[float, float]:
    """λ₁ of one vanilla network, and its error over time."""
    flow = Flow(gaussian_couplings(n, g, seed=seed))
    found = spectrum(flow, 1, duration=duration, transient=60.0, warmup=20.0, x0=start(n, seed))
    return float(found.exponents[0]), float(found.stderr[0])


def whole(n: int, g: float, duration: float, seed: int) -> tuple[Any, float]:
    """All exponents of one vanilla network, and the residual of the sum rule."""
    flow = Flow(gaussian_couplings(n, g, seed=seed))
    found = spectrum(flow, duration=duration, transient=60.0, warmup=60.0, x0=start(n, seed))
    residual = found.sum_rule_residual
    return found.exponents, float("nan") if residual is None else residual


def regulated(n: int, g: float, duration: float, seed: int) -> tuple[float, float]:
    """Largest exponent of one network at γ = 1, and minus its smallest squared singular value."""
    J = gaussian_couplings(n, g, seed=seed)
    found = spectrum(Flow(J, 1.0), 1, duration=duration, transient=duration / 2,
                     warmup=duration, x0=start(n, seed), interval=1.0)
    return float(found.exponents[0]), -smallest(n, g, seed)


def smallest(n: int, g: float, seed: int) -> float:
    """Smallest squared singular value of I - J."""
    J = np.asarray(gaussian_couplings(n, g, seed=seed))
    return float(np.linalg.svd(np.eye(n) - J, compute_uv=False)[-1] ** 2)


def limit(sizes: Any, values: Any, errors: Any) -> tuple[float, float]:
    """N = ∞ of values over sizes, with its error, by weighted least squares."""
    powers = np.array([0.0, -2 / 3, -1.0][: max(2, min(3, len(sizes) - 1))])
    design = np.asarray(sizes, float)[:, None] ** powers / errors[:, None]
    covariance = np.linalg.inv(design.T @ design)
    best = covariance @ design.T @ (values / errors)
    return float(best[0]), float(np.sqrt(covariance[0, 0]))


def edges(s: dict[str, Any]) -> dict[str, Any]:
    """Smallest squared singular values over N, and their limits [g]."""
    calls = [(n, g, s["seed"] + k) for g in s["regulated_g"] for n in s["edge_n"]
             for k in range(s["edge_draws"])]
    found = np.array(spread(smallest, calls, s["workers"])).reshape(
        len(s["regulated_g"]), len(s["edge_n"]), s["edge_draws"])
    mean, error = mean_error(np.moveaxis(found, 2, 0))
    fits = [limit(s["edge_n"], m, e) for m, e in zip(mean, error, strict=True)]
    return {"mean": mean, "error": error, "fit": np.array(fits),
            "theory": np.array([regulated_edges(g)[0] for g in s["regulated_g"]])}


def measure(s: dict[str, Any]) -> dict[str, Any]:
    """All runs, as arrays by the names of the file."""
    calls = [(s["n"], g, s["duration"], s["seed"] + k) for g in s["g"] for k in range(s["draws"])]
    first = np.array(spread(leading, calls, s["workers"])).reshape(len(s["g"]), s["draws"], 2)
    calls = [(s["full_n"], g, s["full_duration"], s["seed"] + k) for g in s["full_g"]
             for k in range(s["full_draws"])]
    found = spread(whole, calls, s["workers"])
    full = np.array([f[0] for f in found]).reshape(len(s["full_g"]), s["full_draws"], -1)
    calls = [(s["regulated_n"], g, s["regulated_duration"], s["seed"] + k)
             for g in s["regulated_g"] for k in range(s["regulated_draws"])]
    pairs = np.array(spread(regulated, calls, s["workers"])).reshape(
        len(s["regulated_g"]), s["regulated_draws"], 2)
    return {"leading": first, "leading_theory": np.array([max_exponent(g) for g in s["g"]]),
            "full": full, "sum_rule_residual": np.array([f[1] for f in found]),
            "regulated": pairs, **{f"edge_{key}": value for key, value in edges(s).items()}}


def density(g: float, quick: bool, seed: int) -> tuple[Any, Any] | None:
    """λ [M] and the share of exponents above it [M], N = ∞; only where exact in the quick form."""
    if g < 1:
        found = spectrum_density(g)
    elif quick:
        return None
    else:
        found = spectrum_density(g, thresholds=full_thresholds(max_exponent(g), points=24),
                                 paths=64, seed=seed)
    return found.thresholds, 1 - found.cumulative


def draw(out: Any, s: dict[str, Any], data: dict[str, Any], curves: list[Any]) -> None:
    """λ₁ over g; spectra; the regulated exponent against its matrix; the edge over N."""
    with figure(out, NAME, 7.6) as page:
        panels = page.subplots(4, 1)
        grid = np.linspace(1.05, max(s["g"]) * 1.02, 25)
        panels[0].plot(grid, [max_exponent(g) for g in grid], color=theme.light("warm"),
                       label="mean-field theory")
        mean, error = mean_error(np.moveaxis(data["leading"][..., 0], 1, 0))
        paper.points(panels[0], s["g"], mean, error, theme.light("strong"), gid="leading",
                     label=f"N = {s['n']}, {s['draws']} draws")
        panels[0].set(xlabel="g", ylabel="λ₁")
        panels[0].legend(frameon=False)
        share = (np.arange(s["full_n"]) + 0.5) / s["full_n"]
        for row, g in enumerate(s["full_g"]):
            panels[1].plot(share, data["full"][row].T, ".", ms=2, color=theme.series(row)[0])
            panels[1].plot([], [], ".", color=theme.series(row)[0], label=f"g = {g:g}")
            if curves[row] is not None:
                panels[1].plot(curves[row][1], curves[row][0], color="black", lw=0.8)
        panels[1].plot([], [], color="black", lw=0.8, label="theory, N = ∞")
        panels[1].set(xlabel="i/N", ylabel="λᵢ", ylim=(data["full"].min() - 0.1, None))
        panels[1].legend(frameon=False)
        worst = 1.0
        for row, g in enumerate(s["regulated_g"]):
            pairs, (colour, mark) = data["regulated"][row], theme.series(row)
            gap = np.maximum(np.abs(pairs[:, 0] - pairs[:, 1]), 1e-15)
            worst = min(worst, gap.min())
            panels[2].plot(np.full(len(gap), g), gap, mark, color=colour, mfc="none", ms=4)
            n = np.array(s["edge_n"], float)
            panels[3].errorbar(n ** (-2 / 3), data["edge_mean"][row], data["edge_error"][row],
                               color=colour, marker=mark, ls="none", ms=3.5, label=f"g = {g:g}")
            panels[3].errorbar(0, data["edge_fit"][row, 0], data["edge_fit"][row, 1], marker="x",
                               color=colour, ms=5, mew=1.4)
            panels[3].axhline(data["edge_theory"][row], color=colour, lw=0.8, ls=":")
        panels[2].axhline(1e-4, color=theme.light("warm"), ls="--", lw=0.9)
        panels[2].set(yscale="log", xlabel="g", ylabel="|λ₁ + σ²|", ylim=(worst / 5, 1e-3))
        panels[3].set(xlabel="N to the power of -2/3", ylabel="smallest σ²", ylim=(0, None))
        panels[3].legend(frameon=False, ncols=3, loc="lower right", columnspacing=0.8,
                         bbox_to_anchor=(1, 0.1))
        paper.letters(panels, ["largest exponent, γ = 0",
                               f"all exponents, γ = 0, N = {s['full_n']}",
                               f"γ = 1 at rest: flow against matrix, N = {s['regulated_n']}",
                               f"edge: {s['edge_draws']} draws, fit (x), closed form (dots)"])
        for panel in panels:
            theme.tidy(panel)


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "4 minutes", FULL, QUICK)
    data = measure(s)
    curves = [density(g, s["quick"], s["seed"]) for g in s["full_g"]]
    for g, curve in zip(s["full_g"], curves, strict=True):
        if curve is not None:
            data |= {f"density_g{g:g}/exponent": curve[0], f"density_g{g:g}/share_above": curve[1]}
    gap = float(np.abs(data["regulated"][..., 0] - data["regulated"][..., 1]).max())
    off = data["edge_fit"][:, 0] - data["edge_theory"]
    save(out, NAME, s, {**data, "largest_gap": gap})
    draw(out, s, data, curves)
    mean, error = mean_error(np.moveaxis(data["leading"][..., 0], 1, 0))
    for row, g in enumerate(s["g"]):
        print(f"g = {g:g}: λ₁ = {pm(mean[row], error[row])}, theory "
              f"{data['leading_theory'][row]:.5f} (N = {s['n']}, {s['draws']} draws)")
    apart = []
    for row, (g, curve) in enumerate(zip(s["full_g"], curves, strict=True)):
        average = data["full"][row].mean(axis=0)
        line = f"g = {g:g}, N = {s['full_n']}: median exponent {np.median(average):.4f}"
        if curve is not None:
            share = (np.arange(s["full_n"]) + 0.5) / s["full_n"]
            theory = np.interp(share, curve[1][::-1], curve[0][::-1], left=np.nan, right=np.nan)
            apart.append(float(np.nanmean(np.abs(average - theory))))
            line += f", mean distance from the density {apart[-1]:.4f}"
        print(line)
    print(f"largest residual of the sum rule: {np.nanmax(data['sum_rule_residual']):.1e}")
    for row, g in enumerate(s["regulated_g"]):
        print(f"γ = 1, g = {g:g}: edge fitted {pm(*data['edge_fit'][row])}, closed form "
              f"{data['edge_theory'][row]:.5f}")
    steps = np.abs(off) / data["edge_fit"][:, 1]
    verdict(f"regulated exponent equals minus the smallest squared singular value to {gap:.1e} "
            f"({'within' if gap < 1e-4 else 'NOT within'} 1e-4); fitted edges "
            f"{'agree with' if steps.max() < 3 else 'DIFFER from'} the closed form "
            f"(at most {steps.max():.1f} errors); λ₁ is at most "
            f"{np.abs(mean - data['leading_theory']).max():.4f} from theory; spectra "
            + " and ".join(f"{v:.3f}" for v in apart) + " from the density on average")


if __name__ == "__main__":
    main()
