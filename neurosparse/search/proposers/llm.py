"""Self-Pruner's proposer: a language model writes population, parents, crossover and mutation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.search.llm_dialogue import Dialogue
from neurosparse.search.llm_record import LlmRecord
from neurosparse.search.patience import Complete, Patient
from neurosparse.search.prompts import read_prompts
from neurosparse.search.prompts.describe import Description
from neurosparse.search.proposers.history import History
from neurosparse.search.proposers.operators import gaussian, log_uniform, tournament, unseen
from neurosparse.search.space import Space

Floats = NDArray[np.float64]
TASK = ("The pruned model is evaluated on a text that is kept for this. The less it is damaged, "
        "the better.")
FITNESS = "Each has a value, the damage that was measured: less is better."
NUMBERS = 12
"""Of a configuration, unless another number is asked for."""


class LlmProposer(History):
    """Four prompts in place of four operators; what the model does not do, they do.

    Answers are JSON of a strict form. They are brought onto the constraint by projection; one that
    cannot be read is refused with the reason and asked for again, at most ``retries`` times, then
    replaced by a Gaussian mutation and counted.

    Parameters
    ----------
    space, seed, start
        As for all.
    complete
        Any ``complete(prompt) -> str``; one that is no :class:`Patient` is made one. Its attributes
        ``model``, ``temperature``, ``seed`` and ``last_usage``, where it has them, are recorded.
    prompts
        A folder of templates that replace ours.
    task
        What the model is told of the task.
    population, initial
        How many the model sees, and how many the population prompt makes (30 and 30 in the paper).
    parents
        How many the selection prompt chooses.
    crossing
        Share of the offspring that the crossover prompt makes, the rest by mutation.
    at_once
        Configurations asked for in one prompt at most.
    retries
        Second questions about one prompt.
    numbers
        That the model writes for a configuration at most: neighbouring units of one sort share one
        (:class:`~neurosparse.search.prompts.describe.Description`); None for one a unit.
    show_fitness
        False hides the values, and the order that would tell them: a control.
    order
        A permutation of the parts behind the names: the other control.
    steps
        Of the Gaussian mutations, as for evolution.

    Raises
    ------
    InputError
        An option out of range.
    FormatError
        A template that names unknown fields.

    References
    ----------
    Self-Pruner, arXiv 2502.14413; wording and repair are ours, the paper prints none.
    """

    name = "llm"
    batch = 20

    def __init__(
        self, space: Space, complete: Complete, *, seed: int = 0,
        start: Sequence[ArrayLike] | None = None, prompts: str | Path | None = None,
        task: str = TASK, population: int = 30, initial: int | None = None, parents: int = 4,
        crossing: float = 0.5, at_once: int = 10, retries: int = 3, numbers: int | None = NUMBERS,
        show_fitness: bool = True, order: Sequence[int] | None = None,
        steps: tuple[float, float] = (0.01, 0.1),
    ) -> None:
        super().__init__(space, seed=seed, start=start)
        if (min(population, parents) < 2 or at_once < 1 or retries < 0 or not 0 <= crossing <= 1
                or not 0 < steps[0] <= steps[1]):
            raise InputError("propose by llm", found=f"population {population!r}, parents "
                             f"{parents!r}, at_once {at_once!r}, retries {retries!r}, crossing "
                             f"{crossing!r}, steps {steps!r}",
                             expected="two parents or more, at least one at once, no negative "
                                      "number, a share in [0, 1], 0 < least step <= greatest")
        self.prompts = read_prompts(prompts)
        self.population, self.parents, self.crossing = population, parents, crossing
        self.initial = population if initial is None else initial
        self.at_once, self.show_fitness = at_once, show_fitness
        self.steps = (float(steps[0]), float(steps[1]))
        self.task = task
        self.origins: list[str] = []
        patient = complete if isinstance(complete, Patient) else Patient(complete)
        self.dialogue = Dialogue(patient, self.prompts, Description(space, order, numbers),
                                 retries)

    @property
    def record(self) -> LlmRecord:
        """Counts of the run."""
        return self.dialogue.record

    def options(self) -> dict[str, Any]:
        """All of them; the prompts by their hash."""
        texts = "\0".join((*astuple(self.prompts), self.task))
        return {"population": self.population, "initial": self.initial, "parents": self.parents,
                "crossing": self.crossing, "at_once": self.at_once,
                "retries": self.dialogue.retries, "show_fitness": self.show_fitness,
                "order": self.dialogue.description.order.tolist(),
                "numbers": len(self.dialogue.description), "steps": list(self.steps),
                "shaped": bool(getattr(self.dialogue.complete.complete, "shaped", False)),
                "prompts": hashlib.sha256(texts.encode()).hexdigest()[:16],
                "model": self.record.model, "temperature": self.record.temperature,
                "model_seed": self.record.seed}

    def ask(self, count: int) -> list[Floats]:
        """As all; notes where each came from."""
        self.origins = []
        found = super().ask(count)
        self.origins = ["start"] * (len(found) - len(self.origins)) + self.origins
        return found

    def propose(self, count: int, rng: np.random.Generator) -> list[Floats]:
        """The first population, then children of the parents that the model chooses."""
        known = self.best(self.population)
        made: list[Floats] = []
        first = max(self.initial - self.told, 0) if len(known) >= 2 else count
        if first:
            self._ask("population", min(first, count), [], made, rng)
        if len(made) == count:
            return made
        parents = self._parents(known, rng)
        crossed = round(self.crossing * (count - len(made)))
        self._ask("crossover", crossed, parents, made, rng)
        self._ask("mutation", count - len(made), parents, made, rng)
        return made

    def _parents(self, known: list[int], rng: np.random.Generator) -> list[int]:
        """Places in the history, as the model chooses them; by tournament where it does not."""
        count = min(self.parents, len(known))
        shown = list(known) if self.show_fitness else rng.permutation(known).tolist()
        chosen = self.dialogue.parents(self._fields(shown, count), len(shown), count)
        if chosen is not None:
            return [shown[i] for i in chosen]
        self.record.chosen_without += 1
        found: list[int] = []
        while len(found) < count:
            place = known[tournament(len(known), 2, rng)]
            if place not in found:
                found.append(place)
        return found

    def _fields(self, places: list[int], count: int) -> dict[str, object]:
        description = self.dialogue.description
        values = [self.values[i] for i in places] if self.show_fitness else None
        return {**description.fields(), "task": self.task, "count": count,
                "start": description.shown(self.centre),
                "fitness": FITNESS if self.show_fitness else "",
                "population": description.population(
                    [self.configurations[i] for i in places], values)}

    def _ask(self, prompt: str, count: int, parents: list[int], made: list[Floats],
             rng: np.random.Generator) -> None:
        """Add ``count`` configurations to ``made``: the model's, then mutations."""
        until = len(made) + count
        while len(made) < until:
            wanted = min(self.at_once, until - len(made))
            self.record.wanted += wanted
            got = self.dialogue.configurations(
                prompt, self._fields(parents, wanted), wanted,
                [*self.start[self.told:], *self.configurations, *made],
                [self.configurations[i] for i in parents] or [self.centre])
            made += got
            self.origins += [prompt] * len(got)
            lacking = wanted - len(got)
            self.record.fallbacks += lacking
            self.origins += ["fallback"] * lacking
            made += self._mutations(lacking, parents, made, rng)

    def _mutations(self, count: int, parents: list[int], made: list[Floats],
                   rng: np.random.Generator) -> list[Floats]:
        known = self.keys | {self.space.key(each) for each in made}
        pool = [self.configurations[i] for i in parents or self.best(self.population)]
        found = []
        for _ in range(count):
            parent = pool[int(rng.integers(len(pool)))] if pool else self.centre

            def mutant(attempt: int, parent: Floats = parent) -> Floats:
                step = min(log_uniform(self.steps, rng) * 2.0**attempt, 1.0)
                return gaussian(self.space, parent, step, rng)

            found.append(unseen(self.space, mutant, known))
        return found

    def notes(self) -> dict[str, Any]:
        """The record so far, and where each configuration of the last batch came from."""
        return {"record": self.record.as_dict(), "origins": list(self.origins)}

    def recall(self, notes: dict[str, Any]) -> None:
        """Go on counting from there."""
        self.dialogue.record = LlmRecord.from_dict(notes["record"])
        self.origins = list(notes["origins"])
