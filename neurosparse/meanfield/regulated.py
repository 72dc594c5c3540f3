"""Dynamical mean-field theory of the regulated flow, for any Onsager switch γ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import inside
from neurosparse.meanfield.two_time import _method, solve
from neurosparse.meanfield.two_time_problem import make_problem
from neurosparse.meanfield.two_time_result import TwoTime
from neurosparse.progress import Progress, silent

if TYPE_CHECKING:
    from neurosparse.dynamics import Gain


def regulated(
    gain: float,
    gamma: float,
    phi: str | Gain | tuple[Any, ...] = "tanh",
    *,
    symmetry: float = 0.0,
    duration: float,
    dt: float = 0.05,
    temperature: float = 0.0,
    initial_variance: float = 1.0,
    method: str = "auto",
    scheme: str = "adams",
    trajectories: int | None = None,
    replicas: int = 8,
    smooth: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> TwoTime:
    """Solve the mean-field equations of x' = f - γ φ'(x) Jᵀf + sqrt(2T) dW, f = -x + J φ(x).

    One neuron sees two fields, h = J φ and b = Jᵀ f:

        x' = f - γ φ'(x) b + sqrt(2T) dW,    f = -x + h,
        h(t) = ξ(t) + g² ∫ R_φb(t, s) f(s) ds,
        b(t) = ζ(t) + g² φ(t) + g² ∫ R_fh(t, s) φ(s) ds,

    ξ and ζ independent Gaussians of covariance g² C_φ and g² C_f; R_φb = δ<φ>/δb, and R_fh the
    regular part of δ<f>/δh, whose delta function gives the term g² φ(t). With reciprocal
    correlation η further memory terms enter and <ξ(t) ζ(s)> = η g² <φ(t) f(s)>. Derivation and
    checks: ``docs/two_time.md``.

    Parameters
    ----------
    gain
        g: J_ij has variance g²/N.
    gamma
        γ, 0 vanilla, 1 gradient descent on |f|²/2.
    phi
        Gain function with φ''; φ' must be continuous.
    symmetry
        η, the correlation of J_ij with J_ji.
    duration, dt
        In units of the leak's time constant. Stability asks for dt below about 1/λ₊, the top
        curvature of the energy (papers.md (f)3; 19.4 at g = 2 and γ = 1 for a network at rest).
    temperature
        T.
    initial_variance
        Of x(0), Gaussian and independent of J.
    method
        "linear" (linear gain, no sampling), "sampled", or "auto".
    scheme, trajectories, replicas, smooth, seed, progress
        As in :func:`two_time`; default trajectories are at least 8 x 2 x (number of sources).

    Returns
    -------
    TwoTime
        With "f" among the covariances and responses to both fields.

    Raises
    ------
    InputError
        A number is out of range, or φ has no second derivative or a kink.
    """
    from neurosparse.dynamics import gain as find_gain

    operation = "regulated"
    function = find_gain(phi)
    if inside(operation, "gamma", gamma) != 0.0:
        _check_smooth(operation, function)
    inside(operation, "temperature", temperature, 0)
    problem = make_problem(
        operation, gain, function, gamma=gamma, symmetry=symmetry, noise=2 * temperature,
        initial_variance=initial_variance, duration=duration, dt=dt, scheme=scheme)
    chosen = _method(operation, method, problem)
    settings = {"gain": gain, "gamma": gamma, "phi": function.name, **function.parameters,
                "symmetry": symmetry, "duration": duration, "dt": dt, "temperature": temperature,
                "initial_variance": initial_variance, "scheme": scheme, "seed": seed}
    if chosen == "gaussian":
        chosen = "sampled"  # γ = 0 is two_time's; here it serves as the limit of the same sweep
    return solve(operation, problem, chosen, trajectories=trajectories, replicas=replicas,
                 smooth=smooth, seed=seed, settings=settings, progress=progress)


def _check_smooth(operation: str, phi: Gain) -> None:
    if phi.curvature is None:
        raise InputError(operation, found=f"gain {phi.name!r} without φ''",
                         expected="a gain with two derivatives",
                         mend="The response of φ'(x) Jᵀf needs φ''; give (φ, φ', φ'').")
    for kink in phi.kinks:
        sides = phi.slope(np.array([kink - 1e-7, kink + 1e-7]))
        if abs(float(sides[1] - sides[0])) > 1e-4:
            raise InputError(operation, found=f"gain {phi.name!r} with a kink at {kink:g}",
                             expected="a gain with continuous φ'",
                             mend="The force φ'(x) Jᵀf would jump there.")
