"""Two-time dynamical mean-field theory of the vanilla flow, with response and reciprocity."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import whole
from neurosparse.meanfield.two_time_closure import gaussian_closure
from neurosparse.meanfield.two_time_gaussian import check_covariance
from neurosparse.meanfield.two_time_problem import Problem, make_problem
from neurosparse.meanfield.two_time_result import TwoTime, combine
from neurosparse.meanfield.two_time_sources import exact_sources, matched_sources
from neurosparse.meanfield.two_time_sweep import Sweep, source_count
from neurosparse.progress import Progress, silent

if TYPE_CHECKING:
    from neurosparse.dynamics import Gain

Array = NDArray[np.float64]

METHODS = ("auto", "gaussian", "linear", "sampled")


def two_time(
    gain: float,
    phi: str | Gain | tuple[Any, ...] = "tanh",
    *,
    symmetry: float = 0.0,
    duration: float,
    dt: float = 0.05,
    noise: float = 0.0,
    initial_variance: float = 1.0,
    input_covariance: Any = None,
    method: str = "auto",
    scheme: str = "adams",
    trajectories: int | None = None,
    replicas: int = 8,
    smooth: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> TwoTime:
    """Solve the two-time mean-field equations of x' = -x + J φ(x) + noise from t = 0 on.

    x' = -x + ξ + η g² ∫₀ᵗ R_φ(t, s) φ(s) ds + white noise, with ξ Gaussian of covariance g² C_φ,
    R_φ(t, s) = δ<φ(t)>/δξ(s). Start: independent x(0) ~ N(0, ``initial_variance``).

    Parameters
    ----------
    gain
        g: J_ij has variance g²/N.
    phi
        Gain function, as :func:`neurosparse.dynamics.gain` takes it.
    symmetry
        η, the correlation of J_ij with J_ji, in [-1, 1].
    duration, dt
        In units of the leak's time constant; the grid has ``round(duration / dt) + 1`` times.
    noise
        σ², <noise(t) noise(s)> = σ² δ(t - s).
    initial_variance
        Of x(0).
    input_covariance
        Covariance [T, T] of a Gaussian input beside J φ; refused if it is not a covariance.
    method
        "gaussian" (needs η = 0), "linear" (needs a linear gain), both without sampling; "sampled";
        "auto" takes the first that is exact.
    scheme
        "adams" (second order in dt) or "euler": the theory of the network so discretised is exact.
    trajectories, replicas
        Samples in all, and independent groups from whose spread the errors come (at least 2).
        Default: 8 groups of at least 1024, enough for matched sources.
    smooth
        Sampled responses are made smooth in the time of the kick by splines; this takes most of
        their error off, and nothing from what varies over three or more steps.
    seed
        Replica r draws from ``default_rng([seed, r])``.
    progress
        Called as ``progress(label, done, total)``.

    Returns
    -------
    TwoTime
        Covariances, responses and their standard errors.

    Raises
    ------
    InputError
        A number is out of range, the method does not fit the problem, or ``input_covariance`` is
        not a covariance.

    Notes
    -----
    Equations: Crisanti & Sompolinsky, Phys. Rev. A 36, 4922 (1987) and 37, 4865 (1988); for the
    causal sweep see ``docs/two_time.md``.
    """
    from neurosparse.dynamics import gain as find_gain

    operation = "two_time"
    function = find_gain(phi)
    problem = make_problem(
        operation, gain, function, gamma=0.0, symmetry=symmetry, noise=noise,
        initial_variance=initial_variance, duration=duration, dt=dt, scheme=scheme)
    if input_covariance is not None:
        value = check_covariance(input_covariance, operation, size=problem.size)
        problem = replace(problem, input_covariance=value)
    chosen = _method(operation, method, problem)
    settings = {"gain": gain, "phi": function.name, **function.parameters, "symmetry": symmetry,
                "duration": duration, "dt": dt, "noise": noise, "scheme": scheme, "seed": seed,
                "initial_variance": initial_variance}
    if chosen == "gaussian":
        runs = [gaussian_closure(problem, progress)]
        return combine(problem, runs, method=chosen, trajectories=0, settings=settings)
    return solve(operation, problem, chosen, trajectories=trajectories, replicas=replicas,
                 smooth=smooth, seed=seed, settings=settings, progress=progress)


def _method(operation: str, method: str, problem: Problem) -> str:
    from neurosparse.dynamics import gain as find_gain

    linear = problem.phi is find_gain("linear")
    free = problem.symmetry == 0.0 and problem.gamma == 0.0
    if method == "auto":
        return "linear" if linear else "gaussian" if free else "sampled"
    fits = {"gaussian": free, "linear": linear, "sampled": True}
    if not fits.get(method, False):
        raise InputError(
            operation, found=f"method {method!r} with gain {problem.phi.name!r}, symmetry "
            f"{problem.symmetry:g} and gamma {problem.gamma:g}",
            expected=f"one of {', '.join(METHODS)}; 'linear' needs a linear gain, 'gaussian' needs "
            "symmetry 0 and gamma 0")
    return method


def solve(operation: str, problem: Problem, method: str, *, trajectories: int | None,
          replicas: int, smooth: bool, seed: int, settings: dict[str, Any],
          progress: Progress) -> TwoTime:
    """Sweep with exact sources ("linear") or with replicas of sampled ones."""
    count = source_count(problem)
    if method == "linear":
        runs = [Sweep(problem, exact_sources(count)).run(progress)]
        return combine(problem, runs, method=method, trajectories=0, settings=settings)
    if whole(operation, "replicas", replicas, 0) < 2:
        raise InputError(operation, found=f"replicas {replicas}", expected="at least 2",
                         mend="The standard errors come from the spread of the replicas.")
    whole(operation, "seed", seed, 0)
    each = (max(1024, 2 * count) if trajectories is None
            else whole(operation, "trajectories", trajectories, 0) // replicas)
    if each < 16:
        raise InputError(operation, found=f"trajectories {trajectories}",
                         expected=f"at least {16 * replicas} for {replicas} replicas")
    runs = []
    for replica in range(replicas):
        rng = np.random.default_rng([seed, replica])
        runs.append(Sweep(problem, matched_sources(count, each, rng)).run())
        progress("two-time replicas", replica + 1, replicas)
    return combine(problem, runs, method=method, trajectories=each * replicas, smooth=smooth,
                   settings={**settings, "trajectories": each * replicas, "replicas": replicas,
                             "smooth": smooth})
