"""Systems whose exponents are known: for tests, examples and a first try.

Each function makes a system; :data:`KNOWN` holds what the literature or a one-line argument says of
it, with a tolerance that a run of the stated length keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neurosparse.lyapunov.gallery_flows import (
    jerk,
    linz_sprott,
    lorenz63,
    lorenz96,
    rossler,
    van_der_pol,
)
from neurosparse.lyapunov.gallery_maps import (
    bernoulli,
    cat,
    henon,
    ikeda,
    logistic,
    standard,
    tent,
)
from neurosparse.lyapunov.system import UserSystem

__all__ = [
    "KNOWN",
    "Known",
    "bernoulli",
    "cat",
    "henon",
    "ikeda",
    "jerk",
    "linz_sprott",
    "logistic",
    "lorenz63",
    "lorenz96",
    "rossler",
    "standard",
    "tent",
    "van_der_pol",
]


@dataclass(frozen=True)
class Known:
    """A system with its known spectrum.

    Attributes
    ----------
    make
        Makes the system.
    exponents
        The leading exponents, descending.
    tolerance
        Absolute, for a run of ``duration``.
    duration
        Time (steps for maps).
    total
        Exact sum of all exponents, where there is one.
    dimension
        Kaplan-Yorke dimension, where it is known.
    source
        Where it is from.
    """

    make: Callable[[], UserSystem]
    exponents: tuple[float, ...]
    tolerance: float
    duration: float
    total: float | None = None
    dimension: float | None = None
    source: str = "Sprott, Chaos and Time-Series Analysis (2003)"


def _known(make: Callable[..., Any], *exponents: float, **rest: Any) -> Known:
    return Known(make, exponents, **rest)


#: Name of a system to what is known of it.
KNOWN: dict[str, Known] = {
    "logistic": _known(logistic, 0.693147181, tolerance=1e-3, duration=1e6, source="ln 2, exact"),
    "cat": _known(
        cat, 0.9624236501, -0.9624236501, tolerance=1e-10, duration=1e3, total=0.0, dimension=2.0,
        source="ln((3 + sqrt 5) / 2), exact",
    ),
    "henon": _known(
        henon, 0.41922, -1.62319, tolerance=1e-2, duration=1e5, total=-1.2039728043,
        dimension=1.25827,
    ),
    "standard": _known(standard, 0.10497, -0.10497, tolerance=1e-2, duration=1e6, total=0.0),
    "ikeda": _known(ikeda, 0.51, -0.72, tolerance=1e-2, duration=1e5, source="DAPPER"),
    "lorenz63": _known(
        lorenz63, 0.9056, 0.0, -14.5723, tolerance=1e-2, duration=1e4, total=-41 / 3,
        dimension=2.06215,
    ),
    "lorenz63 (16, 45.92, 4)": _known(
        lambda: lorenz63(16.0, 45.92, 4.0), 1.50, 0.0, -22.50, tolerance=2e-2, duration=1e4,
        total=-21.0,  # Wolf et al. print -22.46, which their own sum forbids
        source="Wolf, Swift, Swinney & Vastano, Physica D 16, 285 (1985)",
    ),
    "rossler": _known(
        rossler, 0.0714, 0.0, -5.3943, tolerance=5e-3, duration=1e4, dimension=2.0132
    ),
    "jerk": _known(jerk, 0.0551, 0.0, -2.0721, tolerance=2e-3, duration=2e4, total=-2.017),
    "linz_sprott": _known(
        linz_sprott, 0.0362, 0.0, -0.6362, tolerance=2e-3, duration=2e5, total=-0.6,
        source="Linz & Sprott, Phys. Lett. A 259, 240 (1999)",
    ),
    "lorenz96": _known(
        lorenz96, 1.68, tolerance=0.05, duration=650.0, total=-40.0, dimension=27.0,
        source="Lorenz & Emanuel, J. Atmos. Sci. 55, 399 (1998)",
    ),
    "van_der_pol": _known(
        van_der_pol, 0.085, -6.7, tolerance=0.2, duration=1e4,
        source="Geist, Parlitz & Lauterborn (1990); to 20 %",
    ),
}  # fmt: skip
