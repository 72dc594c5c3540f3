"""Tangent dynamics of a network in torch: the same QR driver, with state and frame on a card.

Of the four products of a Runge-Kutta step nothing leaves the card, nor does the frame between two
orthonormalisations: the driver gets the logs of a whole batch of blocks at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurosparse.dynamics import Flow
from neurosparse.errors import InputError
from neurosparse.lyapunov.network_block import START
from neurosparse.lyapunov.orthogonalise import CONDITION_GUARD, log_diagonal
from neurosparse.lyapunov.propagator import Propagator, State

Array = NDArray[np.float64]


def _tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    value = torch.tanh(x)
    return value, 1 - value * value


# Gains in torch: value and derivative, as ``dynamics.gains`` has them.
_GAINS = {"tanh": _tanh}
# A block's columns are made a multiple of this: products of odd rows miss the fast kernels.
_ALIGN = 8
# Blocks between two looks at whether all went well: each look waits for the card.
_BATCH = 64


class DeviceFlowPropagator(Propagator):
    """State and frame of a flow without regulation (gamma = 0), by Runge-Kutta 4 on one device.

    Give it to ``lyapunov.spectrum``. It starts where ``spectrum(flow)`` starts, with the same
    numerics: the frame's step is the exact derivative of the state's. Frames are factored by
    CholeskyQR2, and again by Householder where a batch of blocks held one that was too
    ill-conditioned for it.

    Parameters
    ----------
    flow
        With a gain of the known ones, dense couplings, without drive and noise.
    dt
        Step (time).
    device
        Of state, frame and couplings.
    seed
        Of the initial state, N(0, 1).
    x0
        Initial state [N].

    Raises
    ------
    InputError
        A flow that is of another kind, or a step that is not positive.

    Examples
    --------
    >>> from neurosparse import dynamics, lyapunov
    >>> flow = dynamics.Flow(dynamics.gaussian_couplings(50, 3.0, seed=0))
    >>> carrier = DeviceFlowPropagator(flow, dt=0.1, device="cpu")
    >>> lyapunov.spectrum(carrier, 3, interval=0.5, duration=20.0).exponents.shape
    (3,)
    """

    def __init__(self, flow: Flow, *, dt: float, device: torch.device | str, seed: int = 0,
                 x0: Array | None = None) -> None:
        _check(flow, dt)
        self.flow, self.unit, self.size = flow, float(dt), flow.size
        self.device = torch.device(device)
        self._gain = _GAINS[flow.phi.name]
        self._couplings = self._put(np.asarray(flow.J, np.float64))
        start = (np.random.default_rng([seed, START]).standard_normal(self.size) if x0 is None
                 else np.asarray(x0, np.float64))
        self._x = self._put(start[:, None])
        self._k = 0
        self.time = 0.0

    def _put(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _step(self, block: Tensor) -> Tensor:
        """One step of a block: the frame's k columns, the state, and zeros that stay zero.

        With B = slope * S for the frame and the gain for the state, a stage slope J B - S enters
        sums only, so that each product is added straight to what the stage makes (see
        ``lyapunov.network_vanilla``).
        """
        h, J = self.unit, self._couplings
        second = torch.addmm(block, J, self._bent(block), beta=1 - h / 2, alpha=h / 2)
        third = torch.add(block, second, alpha=-h / 2).addmm_(J, self._bent(second), alpha=h / 2)
        fourth = torch.add(block, third, alpha=-h).addmm_(J, self._bent(third), alpha=h)
        total = second.sub_(block).add_(third, alpha=2).mul_(1 / 3)
        bent = self._bent(fourth)
        return total.add_(fourth, alpha=1 / 3 - h / 6).addmm_(J, bent, alpha=h / 6)

    def _bent(self, stage: Tensor) -> Tensor:
        value, slope = self._gain(stage[:, self._k : self._k + 1])
        bent = stage * slope
        bent[:, self._k : self._k + 1] = value
        return bent

    def _steps(self, block: Tensor, steps: int) -> Tensor:
        for _ in range(steps):
            block = self._step(block)
        return block

    def _block(self, frame: Tensor) -> Tensor:
        self._k = frame.shape[1]
        rest = self._x.new_zeros((self.size, -(self._k + 1) % _ALIGN))
        return torch.cat([frame, self._x, rest], 1)

    def _leave(self, block: Tensor) -> Array:
        """Keep the state, give the frame away."""
        self._x = block[:, self._k : self._k + 1].clone()
        return np.asfortranarray(block[:, : self._k].cpu().numpy())

    def advance(self, steps: int) -> None:
        """Carry the state alone."""
        self._leave(self._steps(self._block(self._x[:, :0]), steps))
        self.time += steps * self.unit

    def carry(self, frame: Array, steps: int) -> Array:
        """Carry state and frame together."""
        block = self._steps(self._block(self._put(frame)), steps)
        self.time += steps * self.unit
        return self._leave(block)

    def blocks(self, frame: Array, steps: int, count: int) -> tuple[Array, Array]:
        """Carry and orthonormalise ``count`` times; the frame stays on the device in between."""
        block, logs = self._block(self._put(frame)), np.empty((count, frame.shape[1]))
        for start in range(0, count, _BATCH):
            these = min(_BATCH, count - start)
            after, found, fine = self._fast(block, steps, these)
            if not fine:
                after, found = self._sure(block, steps, these)
            block, logs[start : start + these] = after, found
            self.time += these * steps * self.unit
        return self._leave(block), logs

    def _fast(self, block: Tensor, steps: int, count: int) -> tuple[Tensor, Array, bool]:
        """By CholeskyQR2, without waiting for the device until the end; whether it held."""
        logs, worst = [], torch.zeros((), dtype=torch.float64, device=self.device)
        for _ in range(count):
            block = self._steps(block, steps)
            frame = block[:, : self._k]
            first, spread = _cholesky_r(frame)
            once = _divide(frame, first)
            second, again = _cholesky_r(once)
            frame.copy_(_divide(once, second))
            logs.append((torch.diagonal(first) * torch.diagonal(second)).log())
            worst = torch.maximum(worst, torch.maximum(spread, again))
        return block, torch.stack(logs).cpu().numpy(), float(worst) < CONDITION_GUARD

    def _sure(self, block: Tensor, steps: int, count: int) -> tuple[Tensor, Array]:
        """By Householder; from where something is not finite the logs are NaN."""
        logs = np.full((count, self._k), np.nan)
        for number in range(count):
            block = self._steps(block, steps)
            if not bool(torch.isfinite(block).all()):
                break
            q, upper = torch.linalg.qr(block[:, : self._k])
            signs = torch.where(torch.diagonal(upper) < 0, -1.0, 1.0)
            block[:, : self._k] = q * signs
            logs[number] = log_diagonal((upper * signs[:, None]).cpu().numpy())
        return block, logs

    def finite(self) -> bool:
        """Whether the state is finite."""
        return bool(torch.isfinite(self._x).all())

    def state(self) -> State:
        """State and time."""
        return {"x": self._x[:, 0].cpu().numpy(), "time": self.time}

    def restore(self, state: State) -> None:
        """Go back there."""
        self._x = self._put(np.asarray(state["x"], np.float64)[:, None])
        self.time = float(state["time"])

    def settings(self) -> dict[str, Any]:
        """Method, step, device, system."""
        return {"method": "rk4", "dt": self.unit, "dtype": "float64", "device": str(self.device),
                "system": repr(self.flow)}


def _divide(frame: Tensor, upper: Tensor) -> Tensor:
    """``frame @ inv(upper)``."""
    quotient: Tensor = torch.linalg.solve_triangular(upper, frame, upper=True, left=False)
    return quotient


def _cholesky_r(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Upper R of ``frame^T frame = R^T R`` and the spread of its diagonal; inf where there is none.

    The spread bounds the condition from below, as in ``lyapunov.orthogonalise``.
    """
    lower, wrong = torch.linalg.cholesky_ex(frame.T @ frame)
    diagonal = torch.diagonal(lower)
    spread = diagonal.max() / diagonal.min()
    bad = (wrong != 0) | ~torch.isfinite(spread)
    return lower.T, torch.where(bad, torch.inf, spread)


def _check(flow: Flow, dt: float) -> None:
    known = (getattr(flow.phi, "name", None) in _GAINS and flow.gamma == 0.0
             and isinstance(flow.J, np.ndarray) and flow.drive is None
             and not getattr(flow, "temperature", 0.0))
    if not known:
        raise InputError("carry a flow on a device", found=repr(flow),
                         expected=f"dense couplings, gamma = 0, a gain of {sorted(_GAINS)}, no "
                                  "drive and no noise",
                         mend="lyapunov.spectrum(flow) takes all of them on the CPU.")
    if not 0 < dt < np.inf:
        raise InputError("carry a flow on a device", found=f"dt={dt!r}", expected="a step above 0")
