"""The full Lyapunov spectrum of an infinite network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neurosparse.dynamics.gains import Gain
from neurosparse.dynamics.gains import gain as named_gain
from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside, whole
from neurosparse.meanfield.density_exact import frozen_share, memoryless_share, radial_law
from neurosparse.meanfield.density_result import SpectrumDensity, dimension_and_entropy
from neurosparse.meanfield.density_site import SiteProblem, flow_problem, map_problem, solve_site
from neurosparse.meanfield.gain_paths import slope_paths
from neurosparse.meanfield.inputs import Constant, constant_input
from neurosparse.meanfield.solution import StationarySolution
from neurosparse.meanfield.static import rest_slope_moment
from neurosparse.meanfield.stationary import stationary
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]

_FIRST_REGULATORS = (1e-1, 3e-2, 1e-2, 3e-3)  # on the way down, at the first threshold only
_IMAGE = 12.0  # |distance from the uncoupled exponent| x window beyond which images vanish


def spectrum_density(gain: float, phi: str | Gain | tuple[Any, ...] = "tanh", *,
                     delta: float | None = None, noise: float = 0.0,
                     drive: Constant | None = None,
                     thresholds: Sequence[float] | NDArray[np.float64] | None = None,
                     window: float = 32.0, spacing: float | None = None, paths: int = 128,
                     scrambles: int = 4, regulators: tuple[float, float] = (8e-4, 2e-4),
                     tolerance: float = 1e-6, seed: int = 0,
                     progress: Progress = silent) -> SpectrumDensity:
    """Distribution F(s) of all Lyapunov exponents of the vanilla network.

    Parameters
    ----------
    gain, phi, delta, noise, drive
        As for :func:`neurosparse.meanfield.stationary`.
    thresholds
        Where to evaluate F. None: from the upper edge down to where the Kaplan-Yorke dimension is
        known (for exact cases the whole spectrum). :func:`full_thresholds` covers the whole.
    window, spacing
        Length and step of the time window of the single-site problem. Step None: a time in which
        the slope keeps about 0.9 of its correlation, at most 0.4; a map's is δ.
    paths, scrambles
        Paths a scramble (a power of two), and independent scrambles, which give the error.
    regulators
        η per unit of time; F is extrapolated linearly from the two to zero.
    tolerance
        Of the fixed point, in logarithms of the kernels.
    seed
        Of the scrambles.
    progress
        Called with the thresholds done.

    Returns
    -------
    SpectrumDensity
        Exact at δ = 1 without a frozen part, and for rest and fixed-point states; else the
        single-site theory, whose time is about (number of thresholds) x paths x points³.

    Raises
    ------
    InputError
        Numbers out of range, an input that is no Constant, or a window too short to hold the
        correlation.

    Notes
    -----
    Clark, arXiv:2610.12426. With defaults at g = 3 the error of F is near 1e-3 and that of the
    dimension 2 %; window, spacing and paths are the three knobs.
    """
    _check(window, spacing, paths, scrambles, regulators, tolerance, seed)
    mean = constant_input("spectrum_density", drive).mean
    asked = None if thresholds is None else array("spectrum_density", "thresholds", thresholds)
    state = stationary(gain, phi, delta=delta, noise=noise, drive=drive)
    settings = {**state.settings, "window": window, "paths": paths, "scrambles": scrambles,
                "regulators": regulators, "seed": seed}
    if state.max_exponent == -math.inf:
        raise InputError("spectrum_density", found=f"gain {gain!r}, delta {delta!r}: a map that "
                         "forgets every deviation at once",
                         expected="exponents above minus infinity")
    frozen = state.variance - state.plateau <= 1e-9 * state.variance
    if frozen or (delta == 1.0 and state.plateau <= 1e-12 * state.variance):
        return _exact(state, named_gain(phi), mean, frozen, asked, settings)
    step = delta or spacing or _natural_spacing(state)
    points = 2 * max(4, round(window / step / 2))
    settings["spacing"] = step
    site = _Site(state, named_gain(phi), mean, step, points, regulators, tolerance)
    if state.at(np.array([window / 2]))[0] - state.plateau > 0.3 * (state.variance - state.plateau):
        raise InputError("spectrum_density", found=f"window {window:g}", expected="a window of "
                         "several correlation times", mend="Give a longer window.")
    with threadpool_limits(1):  # many small factorisations: threads only spin
        return _sampled(site, asked, paths, scrambles, seed, settings, progress)


def full_thresholds(upper_edge: float, *, delta: float | None = None, below: float = 2.0,
                    points: int = 40) -> Array:
    """Thresholds [M] over the whole spectrum, close together near the uncoupled exponent.

    Parameters
    ----------
    upper_edge
        λ_max.
    delta
        Step of the map, below 1; None is continuous time.
    below
        How far below the uncoupled exponent to go.
    points
        About how many.

    Raises
    ------
    InputError
        A number out of its range.
    """
    operation = "full_thresholds"
    inside(operation, "upper_edge", upper_edge)
    inside(operation, "below", below, 0)
    whole(operation, "points", points, 2)
    if delta is not None:
        inside(operation, "delta", delta, 0, 1, open_low=True, open_high=True)
    bare = -1.0 if delta is None else math.log1p(-delta) / delta
    half = points // 2
    near = np.linspace(0.0, 1.0, half + 1)[1:] ** 1.5
    up = bare + near[:-1] * (upper_edge - bare)
    return np.unique(np.concatenate([bare - near * below, up]))


def _check(window: float, spacing: float | None, paths: int, scrambles: int,
           regulators: tuple[float, float], tolerance: float, seed: int) -> None:
    operation = "spectrum_density"
    inside(operation, "window", window)
    if spacing is not None:
        inside(operation, "spacing", spacing)
    inside(operation, "tolerance", tolerance, 0)
    for name, value in (("paths", paths), ("scrambles", scrambles), ("seed", seed)):
        whole(operation, name, value, 0)
    if array(operation, "regulators", regulators).shape != (2,):
        raise InputError(operation, found=f"regulators {regulators!r}", expected="two numbers")
    if not window > 0 or (spacing is not None and not 0 < spacing < window / 8):
        raise InputError("spectrum_density", found=f"window {window!r}, spacing {spacing!r}",
                         expected="window > 0 and a spacing below an eighth of it")
    if paths < 2 or paths & (paths - 1) or scrambles < 1:
        raise InputError("spectrum_density", found=f"paths {paths!r}, scrambles {scrambles!r}",
                         expected="a power of two and at least one scramble")
    if not regulators[0] > regulators[1] > 0:
        raise InputError("spectrum_density", found=f"regulators {regulators!r}",
                         expected="two positive numbers, the larger first")


def _exact(state: StationarySolution, phi: Gain, mean: float, frozen: bool,
           thresholds: Array | None, settings: dict[str, Any]) -> SpectrumDensity:
    variance = state.variance
    if variance == 0 and phi.kinks and rest_slope_moment(phi, mean) > 0:
        variance = 1e-20  # deviations however small feel both sides of a kink
    law = radial_law(phi, variance, settings["gain"], mean=mean)
    delta, edge = settings["delta"], state.max_exponent

    def share(s: Array) -> Array:
        if frozen and delta != 1.0:
            return frozen_share(s, law, delta)
        return memoryless_share(s, law)  # moduli alone, frozen or not

    low = -1.0 - (law[1][-1] or 1.0) if delta is None else min(edge - 6.0, -6.0)
    grid = np.linspace(low, edge, 801)
    dimension, entropy = dimension_and_entropy(grid, share(grid), edge)
    asked = grid if thresholds is None else np.unique(thresholds)
    return SpectrumDensity(asked, share(asked), np.zeros(asked.size), edge, dimension, 0.0,
                           entropy, 0.0, "exact", True, settings)


def _natural_spacing(state: StationarySolution) -> float:
    """A step over which the slope stays much the same, at most 0.4."""
    slopes = state.slope_autocovariance
    level = (slopes - slopes[-1]) / (slopes[0] - slopes[-1])
    fine = np.interp(0.9, level[::-1], state.lags[::-1])
    return float(min(0.4, max(0.05, 2.0 ** math.floor(math.log2(max(fine, 1e-3) / 0.4)) * 0.4)))


class _Site:
    """F at a threshold for given paths, each solution starting the next."""

    def __init__(self, state: StationarySolution, phi: Gain, mean: float, step: float,
                 points: int, regulators: tuple[float, float], tolerance: float) -> None:
        self.state, self.phi, self.mean = state, phi, mean
        self.step, self.points = step, points
        self.regulators, self.tolerance = regulators, tolerance
        self.gain: float = state.settings["gain"]
        self.delta: float | None = state.settings["delta"]
        self.slopes, self.weights = np.empty((0, points)), np.empty(0)
        self.warm: dict[tuple[int, float], tuple[Array, Array]] = {}
        self.converged = True

    def draw(self, paths: int, seed: int) -> None:
        """Take new paths; what was solved for the old ones still starts the new."""
        self.slopes, self.weights = slope_paths(
            self.state, self.phi, points=self.points, step=self.step, paths=paths,
            mean=self.mean, seed=seed)

    def share(self, s: float) -> float:
        """F(s), extrapolated to a vanishing regulator."""
        high, low = self.regulators
        signs = (1, -1) if abs(self._gap(s)) * self.points * self.step < _IMAGE else (1,)
        total = 0.0
        for sign in signs:
            for regulator in _FIRST_REGULATORS:
                if (sign, high) not in self.warm and regulator > high:
                    self._solve(s, regulator, sign)
            first, second = self._solve(s, high, sign), self._solve(s, low, sign)
            total += second + (second - first) * low / (high - low)
        return total / len(signs)

    def _gap(self, s: float) -> float:
        """Distance from the uncoupled exponent, as a rate."""
        if self.delta is None:
            return s + 1
        return (1 - (1 - self.delta) * math.exp(-s * self.delta)) / self.delta

    def _problem(self, s: float, regulator: float, sign: int) -> SiteProblem:
        if self.delta is None:
            window = self.points * self.step
            return flow_problem(s, self.gain, window, self.points, regulator, sign)
        return map_problem(s, self.gain, self.delta, self.points, regulator, sign)

    def _solve(self, s: float, regulator: float, sign: int) -> float:
        start = self.warm.get((sign, regulator))
        if start is None:
            # the nearest regulator above
            near = [key for key in self.warm if key[0] == sign and key[1] > regulator]
            start = self.warm[min(near, key=lambda key: key[1])] if near else None
        problem = self._problem(s, regulator, sign)
        if start is not None:
            start = (np.maximum(start[0], problem.regulator * (1 + 1e-9)), start[1])
        solution = solve_site(self.slopes, self.weights, problem, start=start,
                              tolerance=self.tolerance)
        if regulator in self.regulators:
            self.converged &= solution.residual < self.tolerance
        self.warm[sign, regulator] = (solution.a, solution.p)
        return solution.share


def _sampled(site: _Site, thresholds: Array | None, paths: int, scrambles: int,
             seed: int, settings: dict[str, Any], progress: Progress) -> SpectrumDensity:
    edge = site.state.max_exponent
    shares: list[Array] = []
    asked = None if thresholds is None else np.unique(thresholds)
    for number in range(scrambles):
        site.draw(paths, seed * 1000 + number)
        if asked is None:
            asked, first = _descend(site, edge, progress)
        else:
            values = []
            # downwards: where the kernels are simplest comes last, the warm starts help most
            for count, s in enumerate(asked[::-1]):
                values.append(site.share(float(s)) if s < edge else 1.0)
                progress("thresholds", number * asked.size + count + 1, scrambles * asked.size)
            first = np.array(values[::-1])
        shares.append(first)
    assert asked is not None
    every = np.stack(shares)
    summaries = np.array([dimension_and_entropy(asked, row, edge) for row in every])
    # the error of a mean of few: their spread over √n
    spread = (every.std(axis=0, ddof=1) if scrambles > 1 else np.full(asked.size, np.nan))
    errors = (summaries.std(axis=0, ddof=1) if scrambles > 1 else np.full(2, np.nan))
    means, root = summaries.mean(axis=0), math.sqrt(scrambles)
    return SpectrumDensity(asked, every.mean(axis=0), spread / root, edge, float(means[0]),
                           float(errors[0]) / root, float(means[1]), float(errors[1]) / root,
                           "single site", site.converged, settings)


def _descend(site: _Site, edge: float, progress: Progress) -> tuple[Array, Array]:
    """Thresholds from the edge down until the Kaplan-Yorke dimension is bracketed."""
    top = edge if edge > 0 else 0.0
    s = [top * (1 - (k / 8) ** 1.5) for k in range(1, 9)] if edge > 0 else [edge - 0.05]
    values = []
    for count, value in enumerate(s):
        values.append(site.share(value))
        progress("thresholds", count + 1, len(s))
    stride = 0.3 * max(edge, 0.02)
    while len(s) < 30:
        s.append(s[-1] - stride)
        values.append(site.share(s[-1]))
        progress("thresholds", len(s), len(s) + 1)
        stride *= 1.2
        order = np.argsort(s)
        found = dimension_and_entropy(np.array(s)[order], np.array(values)[order], edge)
        if not math.isnan(found[0]) and edge > 0 and len(s) >= 12:
            break
    return np.array(s)[order], np.array(values)[order]
