"""One causal sweep of the single-site process: no fixed-point iteration.

The discretised network (Euler or second-order Adams-Bashforth) has an exact dynamical mean-field
theory of its own, in which the fields of step n need covariances and responses up to step n alone.
So the sweep goes once through the times: moments of step n from all samples, the Gaussian fields of
step n given the earlier ones, memory terms, step. Derivation: docs/two_time.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosparse.meanfield.two_time_gaussian import IsotropicMap, root
from neurosparse.meanfield.two_time_problem import Problem
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]


@dataclass
class Moments:
    """What a sweep found, in units of the discrete flow.

    ``covariance`` maps "x", "phi" (and "f") to [T, T]. ``answer`` maps (of, to) to the mean change
    of ``of`` ("x", "phi", "f") at t_n per unit field during step m < n in h ("h") or b ("b").
    ``slope`` and ``slope_square`` are <φ'> and <φ'²> [T]. ``finished`` counts finite steps.
    """

    covariance: dict[str, Array]
    answer: dict[tuple[str, str], Array]
    slope: Array
    slope_square: Array
    finished: int


def source_count(problem: Problem) -> int:
    """How many white sources a sweep draws on."""
    fields = 2 if problem.gamma else 1
    sets = fields * (2 if problem.gamma and problem.symmetry else 1)
    extra = (1 if problem.noise else 0) + (1 if problem.input_covariance is not None else 0)
    return 1 + problem.size * (fields + sets + extra)


def _maps(sets: list[Array], symmetry: float) -> list[IsotropicMap]:
    """The maps J (of φ, first) and Jᵀ (of f, last).

    With both regulation and reciprocal correlation they are one map with two correlated sets of
    sources: <ξ_h(t) ξ_b(s)> = g² symmetry <φ(t) f(s)>.
    """
    if len(sets) < 4:
        return [IsotropicMap(one) for one in sets]
    direct, other = np.concatenate(sets[:2]), np.concatenate(sets[2:])
    back = symmetry * direct + np.sqrt(1.0 - symmetry**2) * other
    return [IsotropicMap(direct, back)]


class Sweep:
    """The samples of one replica and their histories.

    Parameters
    ----------
    problem
        What to solve.
    sources
        White sources [M, K] (:func:`source_count`): initial states, fields, probes, noise.
    """

    def __init__(self, problem: Problem, sources: Array) -> None:
        p, size, samples = problem, problem.size, sources.shape[1]
        self.problem, self.samples = p, samples
        self.regulated = p.gamma != 0.0
        fields = 2 if self.regulated else 1
        sets = fields * (2 if self.regulated and p.symmetry else 1)
        blocks = np.split(sources[1:], np.arange(1, sets + fields + 1) * size)
        self.probe = blocks[sets:sets + fields]
        self.noise, self.input = blocks[sets + fields][:size], blocks[-1][-size:]
        self.maps = _maps(blocks[:sets], p.symmetry)
        names = ("x", "phi", "f") if self.regulated else ("x", "phi")
        self.value = {name: np.zeros((size, samples)) for name in names}
        self.tangent = {name: np.zeros((size, samples)) for name in names}
        self.value["x"][0] = np.sqrt(p.initial_variance) * sources[0]
        self.answer = {(of, to): np.zeros((size, size))
                       for of in names[1:] for to in ("h", "b")[:fields]}
        self.slope, self.slope_square = np.zeros(size), np.zeros(size)
        self.input_root = None if p.input_covariance is None else root(p.input_covariance)
        self.before: tuple[Array, Array] = (np.zeros(samples), np.zeros(samples))

    def run(self, progress: Progress = silent) -> Moments:
        """Go through all times."""
        size = self.problem.size
        finished = size
        for n in range(size):
            if not np.isfinite(self.value["x"][n] @ self.value["x"][n]):
                finished = n
                break
            self._step(n)
            progress("two-time mean field", n + 1, size)
        return self._collect(finished)

    def _step(self, n: int) -> None:
        p = self.problem
        x, dx = self.value["x"][n], self.tangent["x"][n]
        slope = p.phi.slope(x)
        self.slope[n], self.slope_square[n] = slope.mean(), (slope * slope).mean()
        self.value["phi"][n] = p.phi.value(x)
        self.tangent["phi"][n] = slope * dx
        self._answers("phi", n)
        drift, tangent = self._field_h(n)
        if self.regulated:
            assert p.phi.curvature is not None  # checked where the problem was made
            b, db = self._field_b(n)
            tangent = tangent - p.gamma * (p.phi.curvature(x) * b * dx + slope * db)
            drift = drift - p.gamma * slope * b
        if n + 1 < p.size:
            now, last = p.weights(n)
            self.value["x"][n + 1] = x + p.dt * (now * drift + last * self.before[0])
            self.tangent["x"][n + 1] = dx + p.dt * (now * tangent + last * self.before[1])
            if p.noise:
                self.value["x"][n + 1] += np.sqrt(p.noise * p.dt) * self.noise[n]
            self.before = drift, tangent

    def _answers(self, name: str, n: int) -> None:
        """Answers of one variable at step n to fields in all steps before."""
        tangent = self.tangent[name]
        names = [key for key in self.answer if key[0] == name]
        rows = np.array([self.probe["hb".index(to)][:n] @ tangent[n] for _, to in names])
        rows /= self.samples
        for key, row in zip(names, rows, strict=True):
            self.answer[key][n, :n] = row

    def _recall(self, n: int, answer: tuple[str, str], name: str) -> tuple[Array, Array]:
        """g² sum_m answer[n, m] (value, tangent)[m] over the steps before n."""
        kernel = self.problem.gain**2 * self.answer[answer][n, :n]
        return kernel @ self.value[name][:n], kernel @ self.tangent[name][:n]

    def _field_h(self, n: int) -> tuple[Array, Array]:
        """f = -x + h and its tangent."""
        p = self.problem
        # the map of φ gives h and, with reciprocal correlation, a part of the map of f
        h = p.gain * self.maps[0](self.value["phi"][n])[0]
        if self.input_root is not None:
            h += self.input_root[n] @ self.input
        dh = self.probe[0][n].copy()
        terms = [(p.symmetry, ("phi", "h"), "phi")]
        if self.regulated:
            terms.append((1.0, ("phi", "b"), "f"))
        for factor, answer, name in terms:
            if factor and n:
                value, tangent = self._recall(n, answer, name)
                h += factor * value
                dh += factor * tangent
        f, df = h - self.value["x"][n], dh - self.tangent["x"][n]
        if self.regulated:
            self.value["f"][n], self.tangent["f"][n] = f, df
            self._answers("f", n)
        return f, df

    def _field_b(self, n: int) -> tuple[Array, Array]:
        """b and its tangent; φ(t) itself enters, since f answers to h at once."""
        p, g2 = self.problem, self.problem.gain**2
        b = p.gain * self.maps[-1](self.value["f"][n])[-1]
        b += g2 * self.value["phi"][n]
        db = self.probe[1][n] + g2 * self.tangent["phi"][n]
        for factor, answer, name in ((1.0, ("f", "h"), "phi"), (p.symmetry, ("f", "b"), "f")):
            if factor and n:
                value, tangent = self._recall(n, answer, name)
                b += factor * value
                db += factor * tangent
        return b, db

    def _collect(self, finished: int) -> Moments:
        size = self.problem.size
        x = self.tangent["x"][:finished]
        for to, probe in zip(("h", "b"), self.probe, strict=False):
            answer = np.zeros((size, size))
            answer[:finished, :finished] = np.tril(x @ probe[:finished].T / self.samples, -1)
            self.answer["x", to] = answer
        covariance = {}
        for name, value in self.value.items():
            covariance[name] = np.zeros((size, size))
            covariance[name][:finished, :finished] = (
                value[:finished] @ value[:finished].T / self.samples)
        for matrix in (*covariance.values(), *self.answer.values()):
            matrix[finished:] = np.nan
            matrix[:, finished:] = np.nan
        self.slope[finished:] = self.slope_square[finished:] = np.nan
        return Moments(covariance, self.answer, self.slope, self.slope_square, finished)
