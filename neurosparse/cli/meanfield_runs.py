"""The theories behind ``neurosparse meanfield``, and what it says of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurosparse.cli.cost import Cost, rates
from neurosparse.cli.folder import Folder
from neurosparse.cli.show import print_facts, print_table, with_error
from neurosparse.errors import InputError
from neurosparse.progress import Progress


@dataclass(frozen=True)
class Theory:
    """The arguments of the command."""

    gain: float
    phi: str
    delta: float | None
    noise: float
    symmetry: float
    gamma: float
    density: bool
    paths: int
    window: float
    two_time: bool
    duration: float
    dt: float
    trajectories: int | None
    seed: int

    def __post_init__(self) -> None:
        if self.two_time:
            _ = self.steps  # refuses bad ones
        if self.vanilla:
            if self.two_time and self.delta is not None:
                raise InputError("meanfield", found=f"--delta {self.delta:g} with --two-time",
                                 expected="continuous time")
            return
        name, value = ("gamma", self.gamma) if self.gamma else ("symmetry", self.symmetry)
        if self.delta is not None or self.density or not self.two_time:
            raise InputError(
                "meanfield", found=f"--{name} {value:g}", expected="--two-time, without --delta "
                "and --density", mend="The stationary theory is of the vanilla network with "
                "independent couplings.")

    @property
    def vanilla(self) -> bool:
        """Whether the stationary theory applies: no regulation, independent couplings."""
        return self.gamma == 0 and self.symmetry == 0

    def as_dict(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self)

    def title(self) -> str:
        """One line for a person."""
        said = f"g {self.gain:g}, phi {self.phi}"
        for name in ("delta", "noise", "symmetry", "gamma"):
            if getattr(self, name):
                said += f", {name} {getattr(self, name):g}"
        return said

    def plan(self) -> list[str]:
        """What would be solved."""
        parts = ["the stationary theory"] * self.vanilla
        parts += [f"the density of exponents ({self.paths} paths)"] * self.density
        parts += [f"the two-time theory of {self.steps} steps"] * self.two_time
        return [f"Solve {', '.join(parts)}: {self.title()}."]

    @property
    def steps(self) -> int:
        """Steps of the two-time theory."""
        if not (0 < self.dt <= self.duration < math.inf):
            raise InputError("meanfield", found=f"dt {self.dt:g} with duration {self.duration:g}",
                             expected="0 < dt <= duration")
        steps = round(self.duration / self.dt)
        if abs(steps * self.dt - self.duration) > 1e-6 * self.duration:
            raise InputError("meanfield",
                             found=f"duration {self.duration:g} in steps of {self.dt:g}",
                             expected=f"whole steps, such as {steps * self.dt:g}")
        return steps

    def cost(self) -> Cost:
        """Estimate."""
        seconds, memory, disk = 1.0, 150e6, 50e3
        if self.density:
            # measured: 48 thresholds, 6 sweeps each, of small factorisations
            points = self.window / (self.delta or 0.25)
            seconds += 300 * self.paths * 8 * points**3 / (0.5 * rates()[0])
            memory += 4 * 16.0 * self.paths * points**2
        if self.two_time:
            cells = float(self.steps) ** 2
            sampled = not self.vanilla and self.phi != "linear"
            sources = 2 * self.steps * (2 if self.gamma else 1)
            columns = (self.trajectories or 8 * max(1024, 2 * sources)) if sampled else 100
            seconds += cells * columns * 8 / (0.2 * rates()[0])
            memory += 8 * cells * 20 + columns * self.steps * 8.0
            disk += 8 * cells * 8
        return Cost(seconds, memory, disk)

    def solve(self, progress: Progress, folder: Folder | None, figure: str) -> dict[str, Any]:
        """Solve what was asked; write its functions where there is a folder."""
        results: dict[str, Any] = {"status": "finished", "files": {}}
        if self.vanilla:
            self._stationary(results, folder, figure)
        results["critical_gain"] = self._critical()
        if self.density:
            self._density(results, folder, progress)
        if self.two_time:
            self._two_time(results, folder, figure, progress)
        return results

    def _critical(self) -> float | None:
        """The critical gain where the room has one for these arguments."""
        from neurosparse.meanfield import critical_gain

        if self.gamma != 0 or (self.delta is not None and self.noise > 0):
            return None
        try:
            return critical_gain(self.phi, symmetry=self.symmetry, noise=self.noise)
        except InputError:
            return None

    def _stationary(self, results: dict[str, Any], folder: Folder | None, figure: str) -> None:
        from neurosparse.meanfield import stationary

        found = stationary(self.gain, self.phi, delta=self.delta, noise=self.noise)
        results.update(variance=found.variance, plateau=found.plateau, state=found.status,
                       max_exponent=found.max_exponent, residual=found.residual)
        if folder is None:
            return
        names = ("lags", "autocovariance", "gain_autocovariance", "slope_autocovariance")
        path = _write(folder, "stationary", {name: getattr(found, name) for name in names},
                      {**self.as_dict(), "variance": found.variance, "plateau": found.plateau,
                       "max_exponent": found.max_exponent, "state": found.status})
        results["files"]["stationary"] = path
        if found.variance > 0:
            def draw() -> Any:
                from neurosparse import report

                return report.autocovariance(found)

            results["files"]["autocovariance"] = folder.figure(figure, "stationary", draw)

    def _density(self, results: dict[str, Any], folder: Folder | None, progress: Progress) -> None:
        from neurosparse.meanfield import spectrum_density

        found = spectrum_density(
            self.gain, self.phi, delta=self.delta, noise=self.noise, paths=self.paths,
            window=self.window, seed=self.seed, progress=progress)
        names = ("kaplan_yorke", "kaplan_yorke_error", "entropy_rate", "entropy_rate_error",
                 "method")
        results.update({name: getattr(found, name) for name in names})
        if not found.converged:
            results["status"] = "not converged"
        if folder is not None:
            arrays = {name: getattr(found, name) for name in ("thresholds", "cumulative", "stderr")}
            results["files"]["density"] = _write(
                folder, "density", arrays, {**self.as_dict(), "upper_edge": found.upper_edge,
                                            **{name: results[name] for name in names}})

    def _two_time(self, results: dict[str, Any], folder: Folder | None, figure: str,
                  progress: Progress) -> None:
        from neurosparse.meanfield import regulated, two_time

        options: dict[str, Any] = {
            "symmetry": self.symmetry, "duration": self.duration, "dt": self.dt,
            "trajectories": self.trajectories, "seed": self.seed, "progress": progress}
        if self.gamma:
            found = regulated(self.gain, self.gamma, self.phi, temperature=self.noise / 2,
                              **options)
        else:
            found = two_time(self.gain, self.phi, noise=self.noise, **options)
        rows = np.unique(np.linspace(0, found.times.size - 1, 6).round().astype(int))
        nothing = np.zeros_like(found.covariance)
        error, late = found.errors.get("x", nothing), found.errors.get("x/h", nothing)
        results["two_time"] = {
            "method": found.method, "trajectories": found.trajectories, "times": found.times[rows],
            "variance": found.covariance[rows, rows], "variance_stderr": error[rows, rows],
            "covariance": found.covariance[rows, 0], "covariance_stderr": error[rows, 0],
            "response": found.response[rows, 0], "response_stderr": late[rows, 0],
            "energy": found.energy[rows] if "f" in found.covariances else None}
        if found.status == "diverged":
            results["status"] = "diverged"
        if folder is None:
            return
        folder.begin()
        results["files"]["two_time"] = str(found.save(folder.path / "two_time.h5"))
        if found.status != "diverged":
            def draw() -> Any:
                from neurosparse import report

                return report.two_time(found)

            results["files"]["two_time_figure"] = folder.figure(figure, "two_time", draw)


def _write(folder: Folder, name: str, arrays: dict[str, Any], attributes: dict[str, Any]) -> str:
    import h5py

    from neurosparse.files import write_whole

    folder.begin()
    path: Path = folder.path / f"{name}.h5"
    with write_whole(path) as beside, h5py.File(beside, "w") as file:
        file.attrs.update(format=f"neurosparse.meanfield.{name}", version=1)
        file.attrs.update({key: value for key, value in attributes.items() if value is not None})
        for key, values in arrays.items():
            file[key] = values
    return str(path)


def print_results(results: dict[str, Any], title: str) -> None:
    """Facts, and a table of the two-time theory."""
    facts = []
    if "variance" in results:
        facts += [("static variance", f"{results['variance']:.10g}"),
                  *([("frozen part", f"{results['plateau']:.10g}")] if results["plateau"] else []),
                  ("largest exponent", f"{results['max_exponent']:.10g}"),
                  ("state", results["state"])]
    critical = results["critical_gain"]
    facts.append(("critical gain", "not known here" if critical is None else f"{critical:.10g}"))
    if "kaplan_yorke" in results:
        facts += [("Kaplan-Yorke dimension / N",
                   with_error(results["kaplan_yorke"], results["kaplan_yorke_error"])),
                  ("entropy rate / N",
                   with_error(results["entropy_rate"], results["entropy_rate_error"])),
                  ("density", f"{results['method']}, {results['status']}")]
    print_table(title, ("", ""), [])
    print_facts(facts)
    if "two_time" in results:
        _print_two_time(results["two_time"], results["status"])
    files = {name: file for name, file in results["files"].items() if file}
    if files:
        print_facts([("files", " ".join(files.values()))])


def _print_two_time(found: dict[str, Any], status: str) -> None:
    heads = ["t", "C(t, t)", "C(t, 0)", "R(t, 0)"]
    columns = [[f"{value:g}" for value in found["times"]]]
    for name in ("variance", "covariance", "response"):
        pairs = zip(found[name], found[f"{name}_stderr"], strict=True)
        columns.append([with_error(value, error) for value, error in pairs])
    if found["energy"] is not None:
        heads.append("E/N")
        columns.append([f"{value:.6g}" for value in found["energy"]])
    how = found["method"]
    if found["trajectories"]:
        how += f", {found['trajectories']:,} samples"
    print_table(f"Two-time theory ({how}; {status})", heads, list(zip(*columns, strict=True)))
