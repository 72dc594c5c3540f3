"""One video model that answers many questions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from neurosparse.budgets import Budget
from neurosparse.errors import BudgetError, InputError
from neurosparse.files import check_can_hold
from neurosparse.pipeline.video_models import open_scorer, open_video_model
from neurosparse.progress import Progress, silent
from neurosparse.video import RESIZERS, Answer, Frames, ask, sample_frames
from neurosparse.video.coarse import SCORINGS
from neurosparse.video.decouple import Mode

_WORDS = {"decoupling": ("entities", "events", "off"), "resizer": RESIZERS,
          "rule": ("power", "softmax", "rank"), "scoring": SCORINGS}


def token_budget_of(value: str | int) -> int:
    """A token budget by its number, or by a budget file with tokens in it.

    Raises
    ------
    InputError, FormatError
        Neither a whole number nor a file of budgets; a file without tokens.
    """
    try:
        return int(value)
    except ValueError:
        return int(Budget.read(str(value), kind="tokens").total.kept)


@dataclass(frozen=True)
class VideoOptions:
    """How videos are watched, and by whom.

    Attributes
    ----------
    model, converted
        As for ``open_video_model``.
    token_budget
        Tokens a video, without the model's separators.
    frames
        To take; by duration where None.
    decoupling
        ``"entities"``, ``"events"`` or ``"off"``.
    scorer, scorer_tokens, paraphrase
        As for ``open_scorer``.
    scoring, stride, enough
        As for ``video.ask``.
    resizer, rule, power, guard
        As for ``video.ask``.
    side
        Pixels of the longer side that frames are held at; as they are where None.
    cache
        Folder of scores.
    max_new_tokens
        Of an answer.
    dtype, device
        How models compute.

    Raises
    ------
    InputError, BudgetError
        A value is out of its range.
    """

    model: str
    token_budget: int
    frames: int | None = None
    decoupling: str = "entities"
    scorer: str = "self"
    scorer_tokens: int | None = None
    paraphrase: bool = False
    scoring: str = "full"
    stride: int = 4
    enough: int | None = None
    resizer: str = "bilinear"
    rule: str = "power"
    power: float = 2.0
    guard: bool = True
    side: int | None = None
    cache: str | None = None
    max_new_tokens: int = 64
    dtype: str = "float32"
    device: str = "cpu"
    converted: str | None = None

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise InputError("ask", found=f"{name} {getattr(self, name)!r}",
                                 expected="one of " + ", ".join(words))
        if self.token_budget < 1:
            raise BudgetError("ask", found=f"a budget of {self.token_budget} tokens",
                              expected="1 or more")
        if not self.power >= 0:
            raise InputError("ask", found=f"power {self.power}", expected="0 or more")
        for name in ("frames", "max_new_tokens", "side", "scorer_tokens", "stride", "enough"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError("ask", found=f"{name} {value}", expected="1 or more")
        if self.scoring == "full" and self.enough is not None:
            raise InputError("ask", found=f"enough {self.enough} of full scoring",
                             expected="coarse scoring, which can stop early")


class VideoSession:
    """A model and a scorer that stay loaded, and the frames of the last video.

    Parameters
    ----------
    options
        How.

    Raises
    ------
    NeurosparseError
        As for ``open_video_model`` and ``open_scorer``; a cache that is no folder.
    """

    def __init__(self, options: VideoOptions) -> None:
        if options.cache is not None:
            check_can_hold(Path(options.cache), "--cache")
        self.options = options
        self.main = open_video_model(options.model, dtype=options.dtype, device=options.device,
                                     converted=options.converted)
        self.scorer = open_scorer(options.scorer, self.main, tokens=options.scorer_tokens,
                                  paraphrase=options.paraphrase, dtype=options.dtype,
                                  device=options.device)
        self._held: tuple[Path, Frames] | None = None

    def frames(self, video: str | Path, *, progress: Progress = silent) -> Frames:
        """Frames of a video; those of the one before are held until another is asked for."""
        path = Path(video)
        if self._held is None or self._held[0] != path:
            self._held = None  # two videos at once would be twice the memory
            self._held = path, sample_frames(path, self.options.frames, side=self.options.side,
                                             progress=progress)
        return self._held[1]

    def answer(self, video: str | Path, question: str, choices: tuple[str, ...] = (), *,
               progress: Progress = silent) -> tuple[Answer, dict[str, Any]]:
        """Answer one question.

        Returns
        -------
        answer
            Of ``video.ask``.
        facts
            The same as plain data, see ``docs/video.md``: what ``answer.json`` holds.
        """
        how, begin = self.options, time.perf_counter()
        taken = self.frames(video, progress=progress)
        decoded = time.perf_counter() - begin
        # Nothing is looked for where nobody looks.
        mode = "off" if how.scorer == "none" else how.decoupling
        done = ask(
            self.main.model, self.main.processor, taken, question,
            token_budget=how.token_budget, scorer=self.scorer,
            decoupling=cast(Mode, mode), scoring=cast(Any, how.scoring), stride=how.stride,
            enough=how.enough, options=choices, rule=cast(Any, how.rule),
            power=how.power, guard=how.guard, resizer=cast(Any, how.resizer),
            family=self.main.family, cache=how.cache, max_new_tokens=how.max_new_tokens,
            progress=progress)
        together = self.main.family.unit_frames(self.main.model)
        return done, {"video": str(video), "question": question, "options": list(choices),
                      **answer_facts(done, taken, together, decoded)}


def answer_facts(done: Answer, taken: Frames, together: int, decoded: float) -> dict[str, Any]:
    """An answer as plain data, of JSON's types alone.

    Parameters
    ----------
    done, taken
        The answer, and the frames that it is from.
    together
        Frames a unit.
    decoded
        Seconds that decoding took.
    """
    given = done.assignment
    return {
        "answer": done.text,
        "asked": {"entities": list(done.asked.entities), "events": list(done.asked.events)},
        "duration": taken.duration,
        "token_budget": given.asked, "tokens": given.total,
        "shown": int(sum(h * w for h, w in filter(None, given.grids))),
        "sequence": done.sequence,
        "scorer": done.scores.scorer, "trust": done.scores.trust,
        "guarded": float(given.options["trust"]) < 1.0,
        "frames": {"times": taken.times.tolist(),
                   "scores": [float(one) if np.isfinite(one) else None
                              for one in done.scores.scores],
                   "read": None if done.read is None else list(done.read)},
        "units": {"frames": together, "times": list(done.times),
                  "tokens": given.tokens.tolist(), "caps": given.caps.tolist(),
                  "grids": [None if grid is None else list(grid) for grid in given.grids]},
        "seconds": {**done.seconds, "decode": decoded},
        "notes": list(dict.fromkeys((*taken.notes, *done.notes))),
    }
