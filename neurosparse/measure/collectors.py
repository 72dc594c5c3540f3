"""The collectors by the name of their evidence.

A new kind of evidence is a new small file with a ``Collector`` and one word in ``_CLASSES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from neurosparse.errors import InputError
from neurosparse.measure.collect_absorption import AbsorptionCollector
from neurosparse.measure.collect_curves import CurvesCollector
from neurosparse.measure.collect_exponents import ExponentsCollector
from neurosparse.measure.collect_fisher import FisherCollector
from neurosparse.measure.collect_gains import GainsCollector
from neurosparse.measure.collect_lsa import LsaCollector
from neurosparse.measure.collect_progression import ProgressionCollector
from neurosparse.measure.collect_propagation import PropagationCollector
from neurosparse.measure.collect_representation import RepresentationCollector
from neurosparse.measure.collect_scores import (
    DlpCollector,
    OwlCollector,
    ScoresCollector,
    ShapesCollector,
)
from neurosparse.measure.collect_second_order import SecondOrderCollector
from neurosparse.measure.collect_single import SingleCollector
from neurosparse.measure.collect_spectra import SpectraCollector
from neurosparse.measure.evidence import Collector

_CLASSES: tuple[type[Collector], ...] = (
    AbsorptionCollector, DlpCollector, ExponentsCollector, FisherCollector, GainsCollector,
    LsaCollector, OwlCollector, ProgressionCollector, PropagationCollector,
    RepresentationCollector, ScoresCollector, SecondOrderCollector, ShapesCollector,
    SingleCollector, SpectraCollector,
)
COLLECTORS: dict[str, Callable[[], Collector]] = {one.name: one for one in _CLASSES}


def known_evidence() -> list[str]:
    """Every name that ``measure.profile`` takes in ``evidence``."""
    return sorted({CurvesCollector.name, *COLLECTORS})


def make_collectors(evidence: Iterable[str | Collector], levels: Sequence[float]
                    ) -> list[Collector]:
    """Collectors for names and ready collectors, each kind once, in the order given.

    Parameters
    ----------
    evidence
        Names of :func:`known_evidence`, or collectors made with options of their own.
    levels
        Rates of the curves.

    Raises
    ------
    InputError
        An unknown name, or two collectors of one name.
    """
    made: dict[str, Collector] = {}
    for item in [evidence] if isinstance(evidence, (str, Collector)) else evidence:
        if isinstance(item, Collector):
            if item.name in made:
                raise InputError("profile", found=f"evidence {item.name!r} twice", expected="once")
            made[item.name] = item
        elif item == CurvesCollector.name:
            made.setdefault(item, CurvesCollector(levels))
        elif item in COLLECTORS:
            if item not in made:
                made[item] = COLLECTORS[item]()
        else:
            raise InputError("profile", found=f"evidence {item!r}",
                             expected="some of " + ", ".join(known_evidence()))
    return list(made.values())
