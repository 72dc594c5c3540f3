"""What a two-time theory gives back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import FormatError, InputError
from neurosparse.files import write_whole
from neurosparse.meanfield.two_time_problem import Problem, response_density
from neurosparse.meanfield.two_time_smoothing import smooth_answers
from neurosparse.meanfield.two_time_sweep import Moments

Array = NDArray[np.float64]

FORMAT = "neurosparse.two_time"
VERSION = 1


@dataclass(frozen=True)
class TwoTime:
    """Two-time covariances and responses of one neuron of an infinite network.

    Attributes
    ----------
    times
        t [T].
    covariances
        "x", "phi" and, for a regulated flow, "f": <a(t) a(s)> [T, T].
    responses
        "x/h", "phi/h", ... : R(t, s) = d<a(t)>/d(field at s) [T, T], zero for t < s, on the
        diagonal the limit t -> s+. "h" is a field inside f (an input inside the energy), "b" one
        added to J^T f. The response of f to h has besides a delta function of weight one, which
        "f/h" does not contain.
    errors
        Standard error of each of the above under the same name [T, T]; zeros where the solution
        is deterministic. Estimated from the spread of independent replicas.
    status
        "finished", or "diverged": then everything is NaN from the time on at which it did.
    method
        "gaussian", "linear" (both without sampling) or "sampled".
    iterations
        Sweeps through the times; one, since the discrete theory is causal.
    trajectories, replicas
        Samples in all, and the independent groups they came in.
    settings
        The arguments.
    """

    times: Array
    covariances: dict[str, Array]
    responses: dict[str, Array]
    errors: dict[str, Array]
    status: str
    method: str
    iterations: int
    trajectories: int
    replicas: int
    settings: dict[str, Any]

    @property
    def covariance(self) -> Array:
        """C(t, s) = <x(t) x(s)> [T, T]."""
        return self.covariances["x"]

    @property
    def phi_covariance(self) -> Array:
        """<φ(t) φ(s)> [T, T]."""
        return self.covariances["phi"]

    @property
    def response(self) -> Array:
        """R(t, s) = δ<x(t)> / δh(s) [T, T]."""
        return self.responses["x/h"]

    @property
    def phi_response(self) -> Array:
        """δ<φ(t)> / δh(s) [T, T]."""
        return self.responses["phi/h"]

    @property
    def energy(self) -> Array:
        """Kinetic energy a neuron, <f²>/2 [T].

        Raises
        ------
        InputError
            The flow is not regulated, so that f was not followed.
        """
        if "f" not in self.covariances:
            raise InputError("energy of a two-time solution", found="a vanilla flow",
                             expected="a solution of meanfield.regulated with gamma != 0")
        return np.asarray(0.5 * np.diagonal(self.covariances["f"]))

    def save(self, path: str | Path) -> Path:
        """Write to HDF5, whole or not at all."""
        with write_whole(path) as beside, h5py.File(beside, "w") as file:
            file.attrs.update(format=FORMAT, version=VERSION, settings=json.dumps(self.settings))
            for name in ("status", "method", "iterations", "trajectories", "replicas"):
                file.attrs[name] = getattr(self, name)
            file["times"] = self.times
            for group in ("covariances", "responses", "errors"):
                for name, value in getattr(self, group).items():
                    file.create_dataset(f"{group}/{name.replace('/', ' to ')}", data=value,
                                        compression="gzip", shuffle=True)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> TwoTime:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            There is no such file.
        FormatError
            It is another file.
        """
        if not Path(path).is_file():
            raise InputError(f"read {path}", found="no such file", expected="an HDF5 file")
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                    raise FormatError(f"read {path}", found=str(file.attrs.get("format")),
                                      expected=f"{FORMAT} of version {VERSION}")
                matrices = {
                    group: {name.replace(" to ", "/"): np.asarray(data, dtype=np.float64)
                            for name, data in file[group].items()}
                    for group in ("covariances", "responses", "errors")
                }
                return cls(
                    times=np.asarray(file["times"]), covariances=matrices["covariances"],
                    responses=matrices["responses"], errors=matrices["errors"],
                    status=str(file.attrs["status"]), method=str(file.attrs["method"]),
                    iterations=int(file.attrs["iterations"]),
                    trajectories=int(file.attrs["trajectories"]),
                    replicas=int(file.attrs["replicas"]),
                    settings=json.loads(file.attrs["settings"]),
                )
        except (OSError, KeyError) as error:
            raise FormatError(f"read {path}", found=str(error), expected=FORMAT) from error


def densities(problem: Problem, moments: Moments) -> dict[str, Array]:
    """Response densities by name, from the answers of the discrete flow."""
    p, one = problem, np.ones(problem.size)
    slope, square = moments.slope, moments.slope_square
    jumps = {
        ("x", "h"): one,
        ("phi", "h"): slope,
        ("f", "h"): -one - p.gamma * p.gain**2 * square,
        ("x", "b"): -p.gamma * slope,
        ("phi", "b"): -p.gamma * square,
        ("f", "b"): p.gamma * slope,
    }
    return {f"{of}/{to}": response_density(raw, jumps[of, to], p)
            for (of, to), raw in moments.answer.items()}


def combine(problem: Problem, runs: list[Moments], *, method: str, trajectories: int,
            settings: dict[str, Any], smooth: bool = False) -> TwoTime:
    """One result from the moments of independent replicas."""
    if smooth:
        smooth_answers([run.answer for run in runs], problem.dt)
    parts = [{**{("covariances", k): v for k, v in run.covariance.items()},
              **{("responses", k): v for k, v in densities(problem, run).items()}}
             for run in runs]
    groups: dict[str, dict[str, Array]] = {"covariances": {}, "responses": {}}
    errors: dict[str, Array] = {}
    for group, name in parts[0]:
        stack = np.stack([part[group, name] for part in parts])
        groups[group][name] = stack.mean(axis=0)
        errors[name] = (stack.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1
                        else np.zeros(stack.shape[1:]))
    finished = min(run.finished for run in runs)
    return TwoTime(
        times=problem.times, errors=errors, **groups,
        status="finished" if finished == problem.size else "diverged",
        method=method, iterations=1, trajectories=trajectories, replicas=len(runs),
        settings=settings,
    )
