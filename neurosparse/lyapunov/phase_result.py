"""A phase diagram: exponents over growing windows, energies, and what they say together."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse._version import __version__
from neurosparse.errors import FormatError, InputError
from neurosparse.files import write_whole

Array = NDArray[np.float64]

FORMAT = "neurosparse.phase"
VERSION = 1
#: Kinds of a critical point by their number in ``kind``.
KINDS = ("fixed", "minimum E>0", "slow")
#: What :meth:`PhaseDiagram.regimes_by_draw` can say, from rest to ruin.
REGIMES = ("null", "frozen", "finite-time", "moving", "chaos", "diverged")
_ARRAYS = ("gain", "gamma", "edges", "exponents", "errors", "energy", "activity", "settled_energy",
           "settled_activity", "settled_distance", "kind", "diverged", "step")


@dataclass(frozen=True)
class PhaseDiagram:
    """Exponents and energies over gain g and Onsager switch γ. Made by :func:`phase_diagram`.

    Axes: G gains, Γ switches, D draws of the couplings, W windows, k exponents. Energies and
    activities are per neuron. A run that diverged has NaN.

    Attributes
    ----------
    gain, gamma
        [G], [Γ].
    edges
        Ends of the windows as asked for [W + 1]; every window is twice as long as the one before.
    exponents
        Leading exponents over each window [G, Γ, D, W, k].
    errors
        Standard error over time of each [G, Γ, D, W, k]; NaN where the window is too short.
    energy
        E/N at the edges [G, Γ, D, W + 1].
    activity
        ``|x|²/N`` at the edges [G, Γ, D, W + 1].
    settled_energy, settled_activity
        The same at the critical point of E below the last state [G, Γ, D], by minimisation; NaN
        where that was not asked for.
    settled_distance
        ``|x - x*|/√N`` from the last state to that point [G, Γ, D]: small where the flow itself had
        arrived.
    kind
        What that point is [G, Γ, D]: number in ``KINDS``, -1 where not asked for.
    diverged
        [G, Γ, D] bool.
    step
        Time step that was used [G, Γ, D].
    settings
        What made it.
    """

    gain: Array
    gamma: Array
    edges: Array
    exponents: Array
    errors: Array
    energy: Array
    activity: Array
    settled_energy: Array
    settled_activity: Array
    settled_distance: Array
    kind: NDArray[np.int64]
    diverged: NDArray[np.bool_]
    step: Array
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def windows(self) -> Array:
        """Lengths [W]."""
        return np.diff(self.edges)

    @property
    def exponent(self) -> Array:
        """Largest exponent over the last window, mean over draws [G, Γ]."""
        return self.exponent_by_window[..., -1]

    @property
    def stderr(self) -> Array:
        """Its standard error [G, Γ]: over draws; over time where there is one draw."""
        return self.stderr_by_window[..., -1]

    @property
    def exponent_by_window(self) -> Array:
        """Largest exponent over each window, mean over draws [G, Γ, W].

        One that is positive at first and falls with the length of the window is no chaos: the flow
        has passed saddles (papers.md 1(d)).
        """
        return np.asarray(self.exponents[..., 0].mean(axis=2))

    @property
    def stderr_by_window(self) -> Array:
        """Standard errors of ``exponent_by_window`` [G, Γ, W]."""
        draws = self.exponents.shape[2]
        if draws < 2:
            return np.asarray(self.errors[:, :, 0, :, 0])
        return np.asarray(self.exponents[..., 0].std(axis=2, ddof=1) / np.sqrt(draws))

    @property
    def final_energy(self) -> Array:
        """E/N at the end, mean over draws [G, Γ]."""
        return np.asarray(self.energy[..., -1].mean(axis=2))

    @property
    def fraction_zero(self) -> Array:
        """Fraction of draws [G, Γ] whose last state lies in the basin of a point with E = 0.

        NaN where the minimisation was not asked for. At γ = 1 this is where the flow itself goes in
        the end; at other γ it is a statement about the landscape only.
        """
        found = (self.kind == KINDS.index("fixed")).mean(axis=2)
        return np.where((self.kind < 0).any(axis=2), np.nan, found)

    def fraction_reached(self, tolerance: float = 1e-8) -> Array:
        """Fraction of draws [G, Γ] that had E/N <= ``tolerance`` at the end of the run itself.

        Near rest the regulated flow is slow: above g = 1 do not expect it within a time of 100.
        """
        return np.asarray((self.energy[..., -1] <= tolerance).mean(axis=2))

    def energy_rose(self) -> NDArray[np.bool_]:
        """Whether E/N rose from one edge to a later one by more than 1 %, in any draw [G, Γ].

        At γ = 1 exact flow never does: where this is true the integrator speaks.
        """
        lowest = np.minimum.accumulate(self.energy, axis=-1)[..., :-1]
        rose = self.energy[..., 1:] > 1.01 * lowest + 1e-14
        return np.asarray(rose.any(axis=(2, 3)))

    def regimes_by_draw(self) -> NDArray[np.str_]:
        """One word a run [G, Γ, D], by these rules in this order.

        ``"diverged"``: it did. ``"chaos"``: positive exponent over the last window, and not
        below half of that over the window before; positive is more than two standard errors and
        more than 2/window (a perturbation grew e²-fold). ``"finite-time"``: positive over the
        last window, but vanishing as windows grow. ``"null"``: it goes to x = 0. ``"moving"``: no
        positive exponent, yet the energy has not fallen (a cycle, a torus). ``"frozen"``: near a
        fixed or slow point.

        A summary with thresholds; the arrays are the result.
        """
        value, error = self.exponents[..., 0], np.nan_to_num(self.errors[..., 0])
        positive = value[..., -1] > np.maximum(2.0 * error[..., -1], 2.0 / self.windows[-1])
        lasting = positive
        if value.shape[-1] > 1:
            spread = 2.0 * np.hypot(error[..., -1], 0.5 * error[..., -2])
            lasting = value[..., -1] > 0.5 * value[..., -2] - spread
        last = self.activity[..., -1]
        null = np.where(np.isnan(self.settled_activity), last, self.settled_activity) < 1e-6
        moving = self.energy[..., -1] > 1e-2 * last
        words: NDArray[np.str_] = np.select(
            [self.diverged, positive & lasting, positive, null, moving],
            ["diverged", "chaos", "finite-time", "null", "moving"], default="frozen",
        )
        return words

    def fraction(self, regime: str) -> Array:
        """Fraction of draws [G, Γ] in a regime.

        Raises
        ------
        InputError
            It is none of ``REGIMES``.
        """
        if regime not in REGIMES:
            raise InputError("phase diagram", found=f"regime = {regime!r}",
                             expected=f"one of {REGIMES}")
        return np.asarray((self.regimes_by_draw() == regime).mean(axis=2))

    def regimes(self) -> NDArray[np.str_]:
        """The word of most draws [G, Γ]; of equals the later one in ``REGIMES``."""
        votes = np.stack([self.fraction(regime) for regime in REGIMES[::-1]])
        words: NDArray[np.str_] = np.array(REGIMES[::-1])[votes.argmax(axis=0)]
        return words

    def save(self, path: str | Path) -> Path:
        """Write to HDF5, whole or not at all.

        Raises
        ------
        StorageError
            The disk is full or the folder cannot be written.
        """
        import h5py

        target = Path(path)
        with write_whole(target) as beside, h5py.File(beside, "w") as file:
            file.attrs.update(format=FORMAT, version=VERSION, neurosparse=__version__)
            file.attrs["settings"] = json.dumps(self.settings)
            for name in _ARRAYS:
                file[name] = getattr(self, name)
        return target

    @classmethod
    def load(cls, path: str | Path) -> PhaseDiagram:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            No such file.
        FormatError
            Not a phase diagram, or of another version.
        """
        import h5py

        source = Path(path)
        if not source.is_file():
            raise InputError(f"read {source}", found="no such file", expected="a phase diagram")
        try:
            with h5py.File(source, "r") as file:
                found = (file.attrs.get("format"), file.attrs.get("version"))
                if found != (FORMAT, VERSION):
                    raise FormatError(f"read {source}", found=f"{found}",
                                      expected=f"{(FORMAT, VERSION)}")
                arrays = {name: file[name][...] for name in _ARRAYS}
                return cls(**arrays, settings=json.loads(file.attrs["settings"]))
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"read {source}", found=str(error),
                              expected="a phase diagram") from error
