"""FORCE learning: a feedback loop whose readout is learned while the loop is closed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import check_seed
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.tasks.least_squares import RecursiveLeastSquares
from neurosparse.dynamics.tasks.readout import score
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]

_START, _FEEDBACK = 101, 203


@dataclass(frozen=True)
class ForceResult:
    """What FORCE learning leaves.

    Attributes
    ----------
    times, output, target
        All steps, training first [T].
    trained_steps
        How many of them were training.
    weights
        Readout w [N], z = wᵀ φ(x).
    feedback
        w_f [N].
    train_score
        1 - ⟨(z - s)²⟩/Var(s) over the last fifth of training, where the loop is still corrected.
    test_score
        The same with the weights held, the loop alone; it loses phase as well as form.
    change
        ``|dw|`` a unit of time over the last fifth of training: small where learning has settled.
    status
        ``"finished"`` or ``"diverged"`` (scores are then NaN).
    settings
        What made it.
    """

    times: Array
    output: Array
    target: Array
    trained_steps: int
    weights: Array
    feedback: Array
    train_score: float
    test_score: float
    change: float
    status: str
    settings: dict[str, Any] = field(default_factory=dict)


def two_sines(period: float) -> Callable[[float], float]:
    """sin(2πt/T) + sin(4πt/T)/2: the target where none is given."""
    rate = 2.0 * math.pi / period
    return lambda t: math.sin(rate * t) + 0.5 * math.sin(2.0 * rate * t)


def closed_loop(
    flow: Flow, w: Array, feedback: Array, inside: bool
) -> Callable[[Array, float], Array]:
    """Drift of the network with z = wᵀ φ(x) fed back by ``feedback``.

    Outside the energy: drift(x) + w_f z. Inside: the flow of J + w_f wᵀ, whose Onsager force
    carries the loop as well.
    """
    if not inside or flow.gamma == 0.0:
        return lambda x, t: flow.drift(x, t) + feedback * float(w @ flow.phi.value(x))

    def drift(x: Array, t: float) -> Array:
        f = flow.speed(x, t) + feedback * float(w @ flow.phi.value(x))
        back = flow.J.T @ f + w * float(feedback @ f)
        return np.asarray(f - flow.gamma * flow.phi.slope(x) * back)

    return drift


def force_learning(
    flow: Flow,
    target: Callable[[float], float] | None = None,
    *,
    period: float = 30.0,
    train: float = 600.0,
    test: float = 120.0,
    warm_up: float = 20.0,
    dt: float | None = None,
    every: int = 2,
    alpha: float = 1.0,
    feedback: float | Array = 1.0,
    feedback_inside: bool = False,
    x0: Any = None,
    seed: int = 0,
    limit: float = 1e6,
    progress: Progress = silent,
) -> ForceResult:
    """Teach a network to produce a signal by itself (Sussillo and Abbott 2009).

    x' = drift(x) + w_f z with z = wᵀ φ(x); w follows recursive least squares against the target
    every few steps while the loop is closed. RK4, w held within a step.

    Parameters
    ----------
    flow
        Network without drive or noise; γ is the regulation. At γ = 1 the network without its loop
        is at rest in the end, and only the loop can move it.
    target
        s(t); sin(2πt/T) + sin(4πt/T)/2 with T = ``period`` if None.
    train, test, warm_up
        Times: learning; the loop alone; before both, without loop.
    dt
        Step; None for 0.1 or what the flow can take.
    every
        Steps from one correction to the next.
    alpha
        Penalty of :class:`RecursiveLeastSquares`.
    feedback
        w_f: a half width of U(-a, a), or numbers [N].
    feedback_inside
        Whether the Onsager force knows the loop; see :func:`closed_loop`. No matter at γ = 0.

    Raises
    ------
    InputError
        A value out of its range, too few steps to score, or a network with drive or noise.
    """
    if not isinstance(flow, Flow) or flow.drive is not None or flow.temperature > 0:
        raise InputError("force_learning", found=f"{flow!r}",
                         expected="a Flow without drive and noise")
    step = min(0.1, 0.5 * flow.stable_step("rk4")) if dt is None else dt
    for name, value in (("period", period), ("train", train), ("test", test), ("dt", step)):
        if not 0.0 < value < math.inf:
            raise InputError("force_learning", found=f"{name} = {value}",
                             expected="a finite time > 0")
    if every < 1 or not 0.0 <= warm_up < math.inf:
        raise InputError("force_learning", found=f"every = {every}, warm_up = {warm_up}",
                         expected="every >= 1, warm_up >= 0")
    seed = check_seed("force_learning", seed)
    trained, steps = _steps(train, test, step)
    w_f = _feedback(feedback, flow.size, seed)
    x = _start(x0, flow.size, seed)
    before = round(warm_up / step)
    for n in range(before):
        x = _rk4(flow.drift, x, (n - before) * step, step)
    times = np.asarray(np.arange(1, steps + 1) * step)
    wanted = two_sines(period) if target is None else target
    s = np.array([wanted(float(t)) for t in times])
    learner = RecursiveLeastSquares(flow.size, alpha)
    output, change, sound = _learn(
        flow, learner, w_f, x, s, step, trained, every, feedback_inside, limit, progress)
    late = slice(trained - max(1, trained // 5), trained)
    rest = slice(trained, times.size)
    settings = {"size": flow.size, "gamma": flow.gamma, "phi": flow.phi.name, "dt": step,
                "train": train, "test": test, "every": every, "alpha": alpha, "seed": seed,
                "feedback_inside": feedback_inside}
    return ForceResult(
        times, output, s, trained, learner.weights, w_f,
        train_score=score(output[late], s[late], s[late].mean()),
        test_score=score(output[rest], s[rest], s[rest].mean()),
        change=float(change[late].sum() / (step * change[late].size)),
        status="finished" if sound else "diverged", settings=settings,
    )


def _steps(train: float, test: float, step: float) -> tuple[int, int]:
    """Steps of training, and in all; enough of both for a score, which needs a variance."""
    trained, steps = round(train / step), round((train + test) / step)
    # two at least in the last fifth of training, and in the test
    if trained < 10 or steps < trained + 2:
        raise InputError("force_learning", found=f"train = {train:g}, test = {test:g}: {trained} "
                         f"and {steps - trained} steps of {step:g}",
                         expected="at least 10 steps of training and 2 of the test")
    return trained, steps


def _learn(
    flow: Flow, learner: RecursiveLeastSquares, w_f: Array, x: Array, s: Array, step: float,
    trained: int, every: int, inside: bool, limit: float, progress: Progress,
) -> tuple[Array, Array, bool]:
    """Output at each step, |dw| at each training step, and whether the state stayed finite."""
    output, change = np.full(s.size, np.nan), np.zeros(trained)
    for n in range(s.size):
        x = _rk4(closed_loop(flow, learner.weights, w_f, inside), x, n * step, step)
        if not np.abs(x).max() <= limit:
            return output, change, False
        rates = flow.phi.value(x)
        output[n] = learner.weights @ rates
        if n < trained and n % every == 0:
            before = learner.weights.copy()
            learner.update(rates, float(s[n]))
            change[n] = np.linalg.norm(learner.weights - before)
        if n % 200 == 0 or n == s.size - 1:
            progress("force", n + 1, s.size)
    return output, change, True


def _start(x0: Any, size: int, seed: int) -> Array:
    if x0 is None:
        drawn: Array = np.random.default_rng([seed, _START]).standard_normal(size)
        return drawn
    x = np.array(x0, dtype=np.float64)
    if x.shape != (size,) or not np.isfinite(x).all():
        raise InputError("force_learning", found=f"x0 of shape {list(x.shape)}",
                         expected=f"[{size}] finite numbers")
    return x


def _feedback(feedback: Any, size: int, seed: int) -> Array:
    if np.ndim(feedback) == 0:
        width = float(feedback)
        if not 0.0 <= width < math.inf:
            raise InputError("force_learning", found=f"feedback = {feedback}",
                             expected="a finite number >= 0 or an array [N]")
        return np.random.default_rng([seed, _FEEDBACK]).uniform(-1.0, 1.0, size) * width
    array = np.asarray(feedback, dtype=np.float64)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise InputError("force_learning", found=f"feedback of shape {list(array.shape)}",
                         expected=f"[{size}] finite numbers")
    return array


def _rk4(drift: Callable[[Array, float], Array], x: Array, t: float, dt: float) -> Array:
    a = drift(x, t)
    b = drift(x + 0.5 * dt * a, t + 0.5 * dt)
    c = drift(x + 0.5 * dt * b, t + 0.5 * dt)
    d = drift(x + dt * c, t + dt)
    return np.asarray(x + dt / 6.0 * (a + 2.0 * (b + c) + d))
