"""Variance, correlation and error block by block, through equal or different blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import inside
from neurosparse.meanfield.depth.block import Block


@dataclass(frozen=True)
class DepthProfile:
    """What a signal and a small error of it do on their way through L blocks.

    Attributes
    ----------
    variance
        q before the first block and after each, [L + 1].
    correlation
        Correlation of two inputs of equal variance, [L + 1].
    log_gain
        ln of the mean-square gain of each block for a small error, [L]; its sum is the log growth
        of the squared error.
    """

    variance: NDArray[np.float64]
    correlation: NDArray[np.float64]
    log_gain: NDArray[np.float64]

    @property
    def exponent(self) -> float:
        """Depth exponent, ½ of the mean log gain: nats of amplitude a block.

        Mean square first, logarithm after: the mean-field value, which the exponent of a network
        of finite width approaches from below (Jensen).
        """
        return 0.5 * float(np.mean(self.log_gain))

    @property
    def relative_error(self) -> NDArray[np.float64]:
        """Squared error over variance, as a multiple of what it was at the input, [L + 1]."""
        growth = np.concatenate([[0.0], np.cumsum(self.log_gain)])
        return np.asarray(np.exp(growth) * self.variance[0] / self.variance)


def propagate_depth(blocks: Iterable[Block], *, variance: float = 1.0,
                    correlation: float = 0.5) -> DepthProfile:
    """Follow a signal through blocks, first to last.

    Parameters
    ----------
    blocks
        ``[block] * depth`` for equal ones.
    variance
        Mean square of the input's units, > 0.
    correlation
        Of the two inputs, in [-1, 1].

    Raises
    ------
    InputError
        No block or something else, a variance that is not positive, or no correlation.
    """
    stack = list(blocks) if isinstance(blocks, Iterable) else [blocks]
    if not stack:
        raise InputError("propagate_depth", found="no blocks", expected="at least one")
    if not (isinstance(blocks, Iterable) and all(isinstance(block, Block) for block in stack)):
        raise InputError("propagate_depth", found=f"blocks {blocks!r}",
                         expected="Blocks in a row: [block] * depth")
    inside("propagate_depth", "variance", variance, 0, open_low=True)
    inside("propagate_depth", "correlation", correlation, -1, 1)
    q, c, log_gain = [float(variance)], [float(correlation)], []
    with np.errstate(divide="ignore"):
        for block in stack:
            log_gain.append(float(np.log(block.gain(q[-1]))))
            c.append(min(1.0, max(-1.0, block.correlation_map(c[-1], q[-1]))))
            q.append(block.variance_map(q[-1]))
    return DepthProfile(np.array(q), np.array(c), np.array(log_gain))
