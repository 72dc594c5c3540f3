"""How the chaos of finite networks approaches mean-field theory.

Claims. (a) λ₁ of N neurons is below the theory near onset and approaches it as N grows; near onset
small networks may not be chaotic at all. (b) Chaos is extensive: entropy rate H and Kaplan-Yorke
dimension D grow as N, so that H/N and D/N approach constants.

Derivation. (a) At g = 1 + ε the theory has λ₁ → ε²/2 and a correlation time √3/ε, while a finite
network fluctuates about the mean field by N^(-1/2); about ε N eigenvalues of J - I have positive
real parts at rest, few where ε N is small. So the approach is slow for small ε. (b) The spectrum
against i/N converges to a density (Clark, arXiv 2610.12426), and H/N, the integral of its positive
part, and D/N are functionals of it. His values at g = 3: D/N = 0.0617 (theory) and 0.0609,
H/N = 0.003135 (one network of N = 4096).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, mean_error, pm, save, spread, verdict
from protocol import start

from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.lyapunov import spectrum
from neurosparse.meanfield.max_exponent import max_exponent
from neurosparse.report import paper, theme

NAME = "finite_size_scaling"
FULL = {"g": [1.1, 1.25, 1.5, 2.0, 3.0], "sizes": [100, 200, 400, 800], "largest": 1600,
        "draws": 8, "duration": 300.0, "extensive_g": 3.0, "extensive_sizes": [50, 100, 200, 400],
        "extensive_largest": 800, "share": 0.12, "extensive_duration": 300.0}
QUICK = {"g": [3.0], "sizes": [50], "largest": 200, "draws": 2, "duration": 101.0,
         "extensive_sizes": [50], "extensive_largest": 100, "extensive_duration": 60.0}
CLARK = {"kaplan_yorke": 0.0617, "entropy": 0.003135}


def leading(n: int, g: float, duration: float, seed: int) -> float:
    """λ₁ of one network, after a transient of 100."""
    found = spectrum(Flow(gaussian_couplings(n, g, seed=seed)), 1, duration=duration,
                     transient=100.0, warmup=20.0, x0=start(n, seed))
    return float(found.exponents[0])


def extensive(n: int, g: float, share: float, duration: float, seed: int) -> tuple[float, float]:
    """D/N and H/N of one network, from the leading exponents."""
    found = spectrum(Flow(gaussian_couplings(n, g, seed=seed)), max(8, round(share * n)),
                     duration=duration, transient=50.0, warmup=50.0, x0=start(n, seed))
    return found.kaplan_yorke / n, found.entropy_rate / n


def draws_of(n: int, most: int) -> int:
    """Fewer draws of large networks, which vary less: N times draws is bounded."""
    return max(2, min(most, 3200 // n))


def over_sizes(function: Any, sizes: list[int], before: Any, s: dict[str, Any]) -> dict[int, Any]:
    """Results [draws, ...] of ``function(n, *before, seed)`` by size; the long ones run first."""
    calls = [(n, *before, s["seed"] + k) for n in reversed(sizes)
             for k in range(draws_of(n, s["draws"]))]
    found = spread(function, calls, s["workers"])
    return {n: np.array([f for f, call in zip(found, calls, strict=True) if call[0] == n])
            for n in sizes}


def draw(out: Any, s: dict[str, Any], sizes: list[int], table: dict[str, Any], theory: Any) -> None:
    """λ₁ over N by g; D/N and H/N over N."""
    with figure(out, NAME, 5.4) as page:
        panels = page.subplots(3, 1)
        for row, g in enumerate(s["g"]):
            mean, error = table["mean"][row], np.nan_to_num(table["error"][row])
            colour = theme.ordered(row, len(s["g"]))
            panels[0].errorbar(sizes, mean / theory[row], error / theory[row], color=colour,
                               marker=theme.series(row)[1], ms=3.5, lw=1, label=f"g = {g:g}")
        panels[0].axhline(1, color=theme.light("warm"), ls="--", lw=0.9)
        panels[0].axhline(0, color=theme.light("soft"), lw=0.8)
        panels[0].set(ylabel="λ₁ / theory", ylim=(max(-3, panels[0].get_ylim()[0]), 1.4))
        others = table["extensive_sizes"]
        for panel, column, name, label in ((panels[1], 0, "kaplan_yorke", "D/N"),
                                           (panels[2], 1, "entropy", "H/N")):
            paper.points(panel, others, table["extensive_mean"][:, column],
                         table["extensive_error"][:, column], theme.light("strong"), gid=name)
            panel.axhline(CLARK[name], color=theme.light("warm"), ls="--", lw=0.9, label="Clark")
            panel.set(ylabel=label, ylim=(0, 1.15 * max(CLARK[name], panel.get_ylim()[1])))
        panels[1].legend(frameon=False, loc="lower right")
        for panel, ticks in zip(panels, (sizes, others, others), strict=True):
            panel.set(xscale="log", xlabel="N", xticks=ticks)
            panel.set_xticklabels([str(n) for n in ticks])
            panel.minorticks_off()
            theme.tidy(panel)
        panels[0].legend(frameon=False, ncols=3, loc="lower right", columnspacing=0.8,
                         handlelength=1.2, fontsize=6.5)
        paper.letters(panels, [f"largest exponent, up to {s['draws']} draws",
                               f"Kaplan-Yorke dimension, g = {s['extensive_g']:g}",
                               f"entropy rate, g = {s['extensive_g']:g}"])


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "5 minutes", FULL, QUICK)
    sizes = sorted({*s["sizes"], s["largest"]})
    theory = np.array([max_exponent(g) for g in s["g"]])
    by_gain = [over_sizes(leading, sizes, (g, s["duration"]), s) for g in s["g"]]
    more = sorted({*s["extensive_sizes"], s["extensive_largest"]})
    wide = over_sizes(extensive, more, (s["extensive_g"], s["share"], s["extensive_duration"]), s)
    pairs = [[mean_error(found[n]) for n in sizes] for found in by_gain]
    wide_pairs = [mean_error(wide[n]) for n in more]
    table = {"sizes": sizes, "theory": theory, "extensive_sizes": more,
             "mean": np.array([[m for m, _ in row] for row in pairs]),
             "error": np.array([[e for _, e in row] for row in pairs]),
             "extensive_mean": np.array([m for m, _ in wide_pairs]),
             "extensive_error": np.array([e for _, e in wide_pairs])}
    chaotic = np.array([[np.mean(found[n] > 5e-3) for n in sizes] for found in by_gain])
    save(out, NAME, s, {**table, "share_chaotic": chaotic})
    draw(out, s, sizes, table, theory)
    for row, g in enumerate(s["g"]):
        print(f"g = {g:g}, theory {theory[row]:.5f}: " + "; ".join(
            f"N = {n}: {pm(*pair)} ({share:.0%} chaotic)"
            for n, pair, share in zip(sizes, pairs[row], chaotic[row], strict=True)))
    for n, (mean, error) in zip(more, wide_pairs, strict=True):
        print(f"g = {s['extensive_g']:g}, N = {n}: D/N = {pm(mean[0], error[0])}, "
              f"H/N = {pm(mean[1], error[1])}")
    ratio = table["mean"][:, -1] / theory
    change = table["extensive_mean"][-1] / table["extensive_mean"][-2] - 1
    verdict("λ₁ over theory at N = " + f"{sizes[-1]}: " + ", ".join(
        f"{r:.2f} at g = {g:g}" for g, r in zip(s["g"], ratio, strict=True))
        + f"; from N = {more[-2]} to {more[-1]} D/N changes by {change[0]:+.0%} and H/N by "
        f"{change[1]:+.0%} (to {table['extensive_mean'][-1, 0]:.4f} and "
        f"{table['extensive_mean'][-1, 1]:.5f}; Clark {CLARK['kaplan_yorke']}, "
        f"{CLARK['entropy']})")


if __name__ == "__main__":
    main()
