"""The runs behind ``neurosparse spectrum``: one a draw, each in a file that can be gone on from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosparse.cli.cost import Cost, couplings_bytes, products_time, qr_time, step_of
from neurosparse.cli.folder import Folder
from neurosparse.cli.network import Network
from neurosparse.errors import InputError
from neurosparse.progress import Progress

if TYPE_CHECKING:
    from neurosparse.lyapunov import EnsembleSpectrum, Spectrum

# one orthonormalisation in about so much time: chosen by the room from the frame
_INTERVAL = 0.5


class Runs:
    """Spectra of the draws of one network; draw i has the seed ``seed + i`` for everything.

    Parameters
    ----------
    network
        What to draw.
    numerics
        k, transient, dt, method, dtype: the same in every part of a run.
    target
        duration, precision, max_duration.
    draws, seed
        How many, and the first one's seed.

    Raises
    ------
    InputError
        A value out of its range.
    """

    def __init__(self, network: Network, numerics: dict[str, Any], target: dict[str, Any],
                 draws: int, seed: int) -> None:
        if draws < 1:
            raise InputError("spectrum", found=f"draws {draws}", expected="at least 1")
        self.network, self.numerics, self.target = network, numerics, target
        self.draws, self.seed = draws, seed
        self.k = network.size if numerics["k"] is None else numerics["k"]
        self._check()
        self.cost = self._cost()

    def _check(self) -> None:
        """What the room would refuse, before couplings are drawn: on a network of two neurons."""
        from neurosparse.lyapunov import propagator

        if not 1 <= self.k <= self.network.size:
            raise InputError("spectrum", found=f"k {self.k}",
                             expected=f"1 <= k <= {self.network.size}, the number of neurons")
        for name, value in self.target.items():
            if value is not None and not 0 < value < np.inf:
                raise InputError("spectrum", found=f"{name} {value!r}", expected="a number > 0")
        transient, duration = self.numerics["transient"], self.target["duration"]
        longest = self.target["max_duration"]
        if longest is not None and duration is not None and duration > longest:
            raise InputError("spectrum", found=f"duration {duration:g}, max_duration {longest:g}",
                             expected="a duration no longer than the longest")
        if transient is not None and not 0 <= transient < (duration or np.inf):
            raise InputError("spectrum", found=f"transient {transient!r}",
                             expected="a time >= 0, shorter than the duration")
        few = self.network.build(0, n=None if self.network.couplings else 2)
        options = {name: self.numerics[name] for name in ("method", "dt", "dtype")}
        with warnings.catch_warnings():
            # the real network is judged when it runs
            warnings.simplefilter("ignore")
            carrier = propagator(few, **options)
        self.lengths = carrier.lengths()
        self.method = str(carrier.settings()["method"])

    @property
    def duration(self) -> float:
        """Time to measure: as asked, or the room's own."""
        asked = self.target["duration"]
        if asked is not None:
            return float(asked)
        return self.lengths[2] * (0.1 if self.target["precision"] else 1.0)

    def _cost(self) -> Cost:
        network, size = self.network, self.network.size
        from neurosparse.lyapunov.network import default_step

        method = "map" if network.map_step is not None else self.method
        step = step_of(network, self.numerics["dt"], lambda flow: default_step(flow, method))
        transient = self.numerics["transient"]
        before = (self.lengths[0] if transient is None else transient) / step
        steps = (self.lengths[1] + self.duration) / step
        often = steps / (4 if network.map_step is not None else max(1.0, _INTERVAL / step))
        seconds = (products_time(network, method, before, 1)
                   + products_time(network, method, steps, self.k + 1)
                   + qr_time(size, self.k, often))
        logs = min(4096.0, often) * min(self.k, 64) * 8
        memory = couplings_bytes(network) + 8.0 * size * self.k * (5 if network.gamma else 3) + logs
        return Cost(self.draws * seconds, memory + 120e6,
                    self.draws * (8.0 * size * (self.k + 1) + 2 * logs))

    def plan(self) -> list[str]:
        """What would be done, in words."""
        until = "" if self.target["precision"] is None else \
            f" at least, and until every error is at most {self.target['precision']:g}"
        return [f"{self.k:,} exponents of {self.network.title()}",
                f"over a time of {self.duration:g}{until}, "
                f"{self.draws} draw{'s' * (self.draws > 1)}."]

    def files(self, folder: Folder) -> list[Path]:
        """The file of each draw."""
        if self.draws == 1 and not (folder.path / "spectrum-000.h5").exists():
            return [folder.path / "spectrum.h5"]
        return [folder.path / f"spectrum-{draw:03d}.h5" for draw in range(self.draws)]

    def measure(self, folder: Folder, progress: Progress) -> list[Spectrum]:
        """Run or go on with each draw; after Ctrl-C what is there so far."""
        from neurosparse.lyapunov import Status

        folder.begin()
        if self.draws > 1 and (folder.path / "spectrum.h5").exists():
            (folder.path / "spectrum.h5").rename(folder.path / "spectrum-000.h5")
        done: list[Spectrum] = []
        for draw, path in enumerate(self.files(folder)):
            label = f"draw {draw + 1} of {self.draws}" if self.draws > 1 else "spectrum"
            with folder.timed("spectrum"):
                found = self._one(self.seed + draw, path, _named(progress, label))
            folder.write({"status": "unfinished", "draws": draw + 1})
            found.save(path)
            done.append(found)
            if found.status is Status.INTERRUPTED:
                break
        return done

    def _one(self, seed: int, path: Path, progress: Progress) -> Spectrum:
        from neurosparse.lyapunov import Spectrum, spectrum

        system = self.network.build(seed)
        if not path.exists():
            options = {**self.numerics, **self.target}
            k = options.pop("k")
            return spectrum(system, k, seed=seed, progress=progress, **options)
        return self._go_on(Spectrum.load(path), system, progress)

    def _go_on(self, found: Spectrum, system: Any, progress: Progress) -> Spectrum:
        """To the duration or the precision that is asked for now."""
        from neurosparse.lyapunov import Status

        precision, longest = self.target["precision"], self.target["max_duration"]
        missing = self.duration - found.duration
        least = missing if missing > 0.5 * found.block_time else None
        if found.status in (Status.DIVERGED, Status.COLLAPSED):
            return found
        if precision is None:
            if least is None:
                return found
            return found.extend(duration=least, system=system, progress=progress)
        reached = found.status is Status.CONVERGED and found.stderr.max() <= precision
        further = None if longest is None else longest - found.duration
        if (reached and least is None) or (further is not None and further <= 0):
            return found
        return found.extend(duration=least, precision=precision, max_duration=further,
                            system=system, progress=progress)

    def together(self, found: list[Spectrum]) -> Spectrum | EnsembleSpectrum:
        """The one spectrum, or the mean over the draws that are finite."""
        from neurosparse.lyapunov import EnsembleSpectrum

        if self.draws == 1:
            return found[0]
        residuals = [np.nan if one.sum_rule_residual is None else one.sum_rule_residual
                     for one in found]
        return EnsembleSpectrum(
            np.array([one.exponents for one in found]), np.array([one.stderr for one in found]),
            np.array(residuals, dtype=float), tuple(one.status for one in found),
            tuple(self.seed + draw for draw in range(len(found))))


def _named(progress: Progress, label: str) -> Progress:
    return lambda _, done, total: progress(label, done, total)


def exit_code(found: list[Spectrum]) -> int:
    """0 where all runs did what was asked, 130 after Ctrl-C, else 3."""
    from neurosparse.lyapunov import Status

    statuses = {one.status for one in found}
    if Status.INTERRUPTED in statuses:
        return 130
    return 0 if statuses <= {Status.CONVERGED, Status.FINISHED} else 3
