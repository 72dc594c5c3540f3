"""The tree-structured Parzen estimator (package ``optuna``)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.extras import extras_named
from neurosparse.search.proposers.history import History
from neurosparse.search.proposers.operators import scatter, unseen
from neurosparse.search.space import Space

Floats = NDArray[np.float64]


class TpeProposer(History):
    """Multivariate TPE around the start; what it asks is projected, and told as projected.

    Parameters
    ----------
    space, seed, start
        As for all.
    startup
        Random draws (as random search) before the estimator.
    reach
        Half width of what it looks at around the start, in widths of the box: in thirty dimensions
        a prior over all of [0, 1] asks for nothing but extremes.
    spread
        Of the random draws.

    Raises
    ------
    MissingExtraError
        The package is not installed.

    References
    ----------
    Bergstra et al., NeurIPS 2011; Watanabe, arXiv 2304.11127.
    """

    name = "tpe"
    batch = 4

    def __init__(self, space: Space, *, seed: int = 0, start: Sequence[ArrayLike] | None = None,
                 startup: int = 10, reach: float = 0.15,
                 spread: tuple[float, float] = (0.02, 0.15)) -> None:
        with extras_named():
            import optuna  # noqa: F401
        super().__init__(space, seed=seed, start=start)
        self.startup, self.reach = startup, float(reach)
        self.spread = (float(spread[0]), float(spread[1]))
        self._low = np.maximum(space.lower, self.centre - reach * space.span)
        self._high = np.minimum(space.upper, self.centre + reach * space.span)

    def options(self) -> dict[str, Any]:
        """All of them."""
        return {"startup": self.startup, "reach": self.reach, "spread": list(self.spread)}

    def propose(self, count: int, rng: np.random.Generator) -> list[Floats]:
        """Draws while few are known, then what the estimator asks of a study made anew."""
        known = set(self.keys)
        drawn = min(max(self.startup - self.told, 0), count)
        made = [unseen(self.space, lambda _: scatter(self.space, self.centre, self.spread, rng),
                       known) for _ in range(drawn)]
        if drawn < count:
            made += self._estimated(count - drawn, int(rng.integers(2**31)))
        return made

    def _estimated(self, count: int, seed: int) -> list[Floats]:
        import optuna

        names = [f"{i:05d}" for i in range(len(self.space))]
        boxes: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.FloatDistribution(float(a), float(b))
            for name, a, b in zip(names, self._low, self._high, strict=True)}
        with _quiet():
            study = optuna.create_study(sampler=optuna.samplers.TPESampler(
                seed=seed, multivariate=True, n_startup_trials=0, constant_liar=True))
            for configuration, value in zip(self.configurations, self._finite(), strict=True):
                inside = np.clip(configuration, self._low, self._high)
                study.add_trial(optuna.trial.create_trial(
                    params=dict(zip(names, inside.tolist(), strict=True)), distributions=boxes,
                    value=value))
            asked = [study.ask(boxes).params for _ in range(count)]
        return [self.space.project([each[name] for name in names]) for each in asked]

    def _finite(self) -> list[float]:
        """Failures as bad as the worst."""
        worst = max((v for v in self.values if math.isfinite(v)), default=0.0)
        return [v if math.isfinite(v) else worst + abs(worst) for v in self.values]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the package's log lines and its warnings that options may change."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
