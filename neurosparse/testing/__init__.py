"""For tests of your own: hypothesis strategies, and a checker for a bound that you wrote.

Needs hypothesis, which neurosparse itself does not.
"""

from neurosparse.testing import _needs  # noqa: F401  (first: it says what to install)
from neurosparse.testing.check import BoundReport, BoundViolated, check_bound
from neurosparse.testing.strategies import chains, inputs, masks, small_networks

__all__ = [
    "BoundReport",
    "BoundViolated",
    "chains",
    "check_bound",
    "inputs",
    "masks",
    "small_networks",
]
