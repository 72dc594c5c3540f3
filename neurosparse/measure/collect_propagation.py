"""Evidence ``propagation``: marginal damage of every linear along a path of milder budgets."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from neurosparse.budgets.propagation import marginal_damage, next_rates, path_below
from neurosparse.errors import InputError
from neurosparse.files import write_whole
from neurosparse.measure.damage import Damage, damage
from neurosparse.measure.evidence import Arrays, Scene
from neurosparse.measure.ranked import RankedCollector
from neurosparse.models import PRODUCTS, products_of

Floats = NDArray[np.float64]

_PASSES = 5


class PropagationCollector(RankedCollector):
    """What the rule ``propagation`` needs (theory.md sections 1 and 2).

    At each point of the path the model is pruned by the rule itself to that mean, with masks from
    the dense statistics, and one backward pass gives the marginal damage of every linear there.

    Parameters
    ----------
    up_to
        Greatest sparsity that will be asked for.
    windows
        Calibration windows at a point; points take turns through the windows. By default as many
        as make the path cost five forward passes of them all, the profile six.
    points
        Mean rates of the path in increasing order, instead of those for ``up_to``.
    products
        ``"auto"``: in bfloat16 where the machine has instructions for it; ``"own"``: in the
        model's own type.
    folder
        Where finished points are kept, so that a run that was cut goes on after them.

    Raises
    ------
    InputError
        Points outside (0, 1) or not in order, no window, or unknown products.
    """

    name: ClassVar[str] = "propagation"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs", "hidden"})

    def __init__(self, up_to: float = 0.7, *, windows: int | None = None,
                 points: tuple[float, ...] | None = None, products: str = "auto",
                 folder: str | Path | None = None) -> None:
        self.points = path_below(up_to) if points is None else tuple(points)
        ordered = all(a < b for a, b in zip(self.points, self.points[1:], strict=False))
        if not self.points or not ordered or not 0 < self.points[0] <= self.points[-1] < 1:
            raise InputError("profile", found=f"points {list(self.points)}",
                             expected="rates in (0, 1) in increasing order")
        if windows is not None and windows < 1:
            raise InputError("profile", found=f"{windows} windows", expected="at least one")
        if products not in PRODUCTS:
            raise InputError("profile", found=f"products {products!r}",
                             expected=" or ".join(PRODUCTS))
        self._asked, self._products = windows, products
        self._folder = None if folder is None else Path(folder)

    def passes(self, blocks: int, windows: int) -> float:
        """Four a window and point: forward, and backward with its own forward."""
        return 4.0 * len(self.points) * self.windows_of(windows) / windows

    def windows_of(self, windows: int) -> int:
        """Windows at a point, of so many calibration windows."""
        share = int(_PASSES * windows / (4 * len(self.points))) if self._asked is None else (
            self._asked)
        return min(max(share, 1), windows)

    def finish(self, scene: Scene) -> Arrays:
        """Walk the path; ``points``, ``rates``, ``density`` and ``damage_at`` of every point."""
        sizes = np.array([target.size for target in scene.targets])
        rates = np.full(len(sizes), self.points[0])
        every: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        found: list[Damage] = []
        for at, point in enumerate(self.points):
            if at:
                marginal = marginal_damage(found[-1].density, rates, sizes)
                rates = self.onward(scene, rates, marginal, sizes, point)
            every.append(rates)
            found.append(self._kept(scene, at, rates))
        return {"points": np.array(self.points), "rates": np.stack(every),
                "density": np.stack([one.density for one in found]),
                "damage_at": np.array([one.nats for one in found])}

    def onward(self, scene: Scene, rates: Floats, marginal: Floats, sizes: Floats, point: float
               ) -> Floats:
        """Rates at the next point, from the marginal damage at the latest."""
        return next_rates(rates, marginal, sizes, point)

    def turn(self, at: int) -> int:
        """Which turn through the windows a point takes."""
        return at

    def _kept(self, scene: Scene, at: int, rates: np.ndarray[tuple[int], np.dtype[np.float64]]
              ) -> Damage:
        """The damage at one point, from its file where that belongs to this very run."""
        how = f"{self._asked} {scene.method.name} {self._dtype(scene)}"
        mark = hashlib.sha256(rates.tobytes() + scene.tokens.cpu().numpy().tobytes()
                              + how.encode()).hexdigest()
        path = None if self._folder is None else self._folder / f"point-{at}.npz"
        if path is not None and path.is_file():
            with np.load(path) as file:
                if str(file["mark"]) == mark:
                    return Damage(float(file["nats"]), file["density"])
        done = self._measure(scene, at, rates)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_whole(path) as beside, open(beside, "wb") as handle:
                np.savez(handle, mark=mark, nats=done.nats, density=done.density)
        return done

    def _measure(self, scene: Scene, at: int, rates: np.ndarray[tuple[int], np.dtype[np.float64]]
                 ) -> Damage:
        count = self.windows_of(len(scene.tokens))
        chosen = [(count * self.turn(at) + i) % len(scene.tokens) for i in range(count)]
        per_batch = len(scene.walk.hidden(0))
        dense = torch.stack([scene.walk.hidden(one // per_batch)[one % per_batch].clone()
                             for one in chosen])
        return damage(scene.model, scene.tokens[chosen], dense, scene.targets, self.ranks,
                      rates.tolist(), dtype=self._dtype(scene), progress=scene.progress,
                      store="device" if scene.walk.store == "device" else "memory",
                      label=f"damage at {100 * self.points[at]:.0f} %")

    def _dtype(self, scene: Scene) -> torch.dtype | None:
        return products_of(scene.model, self._products)
