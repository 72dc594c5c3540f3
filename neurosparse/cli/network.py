"""A network as the command line names it, and the system that it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from neurosparse.cli.couplings_file import read_couplings
from neurosparse.errors import InputError

if TYPE_CHECKING:
    from neurosparse.dynamics import Flow, Map

_GAUSSIAN = {"n": 200, "gain": 2.0, "symmetry": 0.0, "sparsity": 0.0}
# papers.md 1(c)4
_EI = {"n": 200, "gain": 2.0, "sparsity": 0.0, "excitatory": 0.4, "mean_e": 0.6, "mean_i": -0.6,
       "std_e": 0.9, "std_i": 0.9, "dale": "average", "zero_row_sums": False}
_DEFAULTS: dict[str, dict[str, Any]] = {"gaussian": _GAUSSIAN, "ei": _EI}


@dataclass(frozen=True)
class Network:
    """The network options as they came; None is one that was not given."""

    n: int | None
    gain: float | None
    symmetry: float | None
    sparsity: float | None
    phi: str
    gamma: float
    temperature: float
    map_step: float | None
    ensemble: str | None
    couplings: str | None
    mean_e: float | None
    mean_i: float | None
    std_e: float | None
    std_i: float | None
    excitatory: float | None
    dale: str | None
    zero_row_sums: bool | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Network:
        """The network among a command's arguments; checked.

        Raises
        ------
        InputError
            A value out of its range, or an option that does not belong to the ensemble.
        """
        values = {field.name: given[field.name] for field in fields(cls)}
        found = cls(**{**values, "zero_row_sums": values["zero_row_sums"] or None})
        found._check()
        return found

    @cached_property
    def ensemble_options(self) -> dict[str, Any]:
        """Ensemble and its parameters, defaults filled in; with a file only what it is."""
        if self.couplings is not None:
            self._refuse({*_GAUSSIAN, *_EI, "ensemble"}, "beside --couplings")
            return {}
        name = self.ensemble or "gaussian"
        if name not in _DEFAULTS:
            raise InputError("network", found=f"ensemble {name!r}",
                             expected="gaussian or ei", mend="Or a file with --couplings.")
        defaults = _DEFAULTS[name]
        self._refuse({*_GAUSSIAN, *_EI} - set(defaults), f"with --ensemble {name}")
        given = {key: getattr(self, key) for key in defaults}
        return {"ensemble": name,
                **{key: defaults[key] if value is None else value for key, value in given.items()}}

    def _refuse(self, names: set[str], where: str) -> None:
        for name in sorted(names):
            if getattr(self, name) is not None:
                raise InputError("network", found=f"--{name.replace('_', '-')} {where}",
                                 expected="options that belong together")

    @cached_property
    def _own(self) -> Any:
        from neurosparse.dynamics import check_couplings

        assert self.couplings is not None
        return check_couplings(read_couplings(self.couplings), f"read {self.couplings}")

    @property
    def size(self) -> int:
        """N."""
        if self.couplings is not None:
            return int(self._own.shape[0])
        return int(self.ensemble_options["n"])

    @property
    def entries(self) -> float:
        """Entries of J that are stored, in the mean."""
        if self.couplings is not None:
            return float(self._own.nnz if hasattr(self._own, "nnz") else self.size**2)
        sparsity = self.ensemble_options["sparsity"]
        return float(self.size) ** 2 * (1 - sparsity if sparsity >= 0.5 else 1)

    @property
    def is_sparse(self) -> bool:
        """Whether J lies in compressed rows."""
        if self.couplings is not None:
            return hasattr(self._own, "nnz")
        return bool(self.ensemble_options["sparsity"] >= 0.5)

    def _check(self) -> None:
        """Build a small one of the same kind: the rooms know the ranges."""
        n = self.ensemble_options.get("n", 1)
        if n < 1:
            raise InputError("network", found=f"n {n}", expected="a whole number of neurons >= 1")
        self.build(0, n=None if self.couplings is not None else min(n, 8))

    def draw(self, seed: int, n: int | None = None) -> Any:
        """Couplings of this seed."""
        from neurosparse.dynamics import ei_couplings, gaussian_couplings

        if self.couplings is not None:
            return self._own
        options = dict(self.ensemble_options)
        kind, asked = options.pop("ensemble"), options.pop("n")
        size = asked if n is None else n
        if kind == "gaussian":
            return gaussian_couplings(size, options.pop("gain"), seed=seed, **options)
        sparsity = options.pop("sparsity")
        if not 0 <= sparsity < 1:
            raise InputError("network", found=f"sparsity {sparsity!r}",
                             expected="a number in [0, 1)")
        return ei_couplings(size, density=1 - sparsity, seed=seed, **options)

    def build(self, seed: int, n: int | None = None) -> Flow | Map:
        """The system of this seed, with ``n`` neurons if that is given."""
        from neurosparse.dynamics import Flow, Map

        if self.map_step is None:
            return Flow(self.draw(seed, n), self.gamma, self.phi, temperature=self.temperature)
        for name in ("gamma", "temperature"):
            if getattr(self, name) != 0:
                raise InputError("network", found=f"--{name} {getattr(self, name):g} with --map",
                                 expected=f"--{name} 0: the map is the vanilla network")
        return Map(self.draw(seed, n), self.map_step, self.phi)

    def as_dict(self) -> dict[str, Any]:
        """What decides the network, but the seed; for the record."""
        found: dict[str, Any] = dict(self.ensemble_options)
        if self.couplings is not None:
            from neurosparse.files import sha256

            found.update(couplings=self.couplings, sha256=sha256(self.couplings), n=self.size)
        found.update(phi=self.phi)
        if self.map_step is not None:
            return {**found, "map": self.map_step}
        return {**found, "gamma": self.gamma, "temperature": self.temperature}

    def title(self) -> str:
        """One line for a person."""
        named = self.as_dict()
        size, phi = named.pop("n"), named.pop("phi")
        source = named.pop("couplings", None) or named.pop("ensemble")
        named.pop("sha256", None)
        said = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in named.items()
                         if isinstance(value, (int, float)) and (value or key in ("gamma", "gain")))
        return f"{source} N={size}, phi {phi}" + (f", {said}" if said else "")
