"""Questions that a video model is calibrated on: frames, prompts, budgets of the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from neurosparse.budgets import Budget, Profile, allocate, evidence_for
from neurosparse.errors import BudgetError, InputError
from neurosparse.measure import profile, sizes_only
from neurosparse.measure.joined_points import DAMAGES
from neurosparse.measure.rule_evidence import evidence_of
from neurosparse.measure.video_answers import (
    VideoAsked,
    Watching,
    calibration_prompts,
    own_tokens,
)
from neurosparse.pipeline.video_identity import clips_digest, session_identity
from neurosparse.pipeline.video_models import open_scorer
from neurosparse.pipeline.video_questions import VideoQuestion, read_questions
from neurosparse.pipeline.video_session import VideoOptions, VideoSession
from neurosparse.progress import Progress, silent
from neurosparse.pruning import find_method
from neurosparse.video import Frames, Prompt, index_video, sample_frames
from neurosparse.video.decouple import Mode
from neurosparse.video.look import Sharing
from neurosparse.video.reading import of_one_length, reading

SPARSITIES = (0.0, 0.3, 0.5, 0.6, 0.7)
LADDER = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
"""Token budgets in shares of all tokens, where none are given."""
# How videos are watched, of what VideoOptions says; the rest is about the machine.
_WATCH = ("frames", "decoupling", "scorer", "scorer_tokens", "paraphrase", "resizer", "rule",
          "power", "guard", "side", "dtype")


@dataclass(frozen=True)
class JoinedOptions:
    """How tokens and sparsity are measured and chosen together.

    Attributes
    ----------
    watch
        Model, and how it watches; its token budget is what is sought.
    flops, seconds, damage_limit
        The goal, one of the three: operations as a share of the dense model's with all tokens,
        seconds of an answer, or nats (at the least operations).
    damage
        ``"kl"`` against the dense model's answers, or ``"loss"`` of the right option, for which
        questions need answers.
    tokens, sparsities
        The ladder; the tokens by shares of all (``LADDER``) where None.
    reference
        All tokens of a video; the model's own number where None.
    rule, method
        Which linear gives how much, and the way of pruning.
    calibration
        Questions whose prompts pruning is calibrated on, the first of all.
    limit, seed
        Only so many questions, drawn by the seed.
    timed
        Questions that are timed, for a goal in seconds.
    values
        As what the packed model is timed.
    answer_tokens
        Tokens of an answer that are compared.
    check
        Measure the choice itself.

    Raises
    ------
    InputError, BudgetError
        A value is out of its range.
    """

    watch: VideoOptions
    flops: float | None = None
    seconds: float | None = None
    damage_limit: float | None = None
    damage: str = "kl"
    tokens: tuple[int, ...] | None = None
    sparsities: tuple[float, ...] = SPARSITIES
    reference: int | None = None
    rule: str = "uniform"
    method: str = "wanda"
    calibration: int = 32
    limit: int | None = None
    seed: int = 0
    timed: int = 3
    values: str = "bf16"
    answer_tokens: int = 4
    check: bool = True

    def __post_init__(self) -> None:
        operation, goals = "video budget", self.goal()
        if len(goals) != 1 or not all(value > 0 for value in goals.values()):
            raise InputError(operation, found=f"goals {goals or 'none'}",
                             expected="one above 0: --flops, --seconds or --damage-limit")
        if self.damage not in DAMAGES:
            raise InputError(operation, found=f"damage {self.damage!r}",
                             expected=" or ".join(DAMAGES))
        for name in ("calibration", "limit", "timed", "answer_tokens", "reference"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(operation, found=f"{name} {value}", expected="1 or more")
        self._check_ladder(operation)
        if self.watch.scoring != "full":
            raise InputError(operation, found=f"{self.watch.scoring} scoring",
                             expected="full scoring: what is counted does not stop early")
        evidence_for(self.rule)  # an unknown rule is said before a model is loaded
        find_method(self.method)

    def _check_ladder(self, operation: str) -> None:
        # Numbers first: nothing that is no number has an order.
        if not self.sparsities or self.sparsities[0] != 0 or not all(
                0 <= one < 1 for one in self.sparsities):
            raise BudgetError(operation, found=f"sparsities {list(self.sparsities)}",
                              expected="rates in [0, 1) of which the first is 0")
        if self.tokens is not None:
            if not self.tokens or not all(
                    one >= 1 and float(one).is_integer() for one in self.tokens):
                raise BudgetError(operation, found=f"tokens {list(self.tokens)}",
                                  expected="whole numbers from 1")
            object.__setattr__(self, "tokens", tuple(int(one) for one in self.tokens))
        for levels in (self.tokens, self.sparsities):
            if levels is not None and list(levels) != sorted(set(levels)):
                raise InputError(operation, found=f"levels {list(levels)}",
                                 expected="increasing levels, each once")

    @property
    def labelled(self) -> bool:
        """Whether every question needs its answer."""
        return self.damage == "loss"

    @property
    def unit(self) -> str:
        """Of the cost that counts."""
        return "flops" if self.seconds is None else "seconds"

    def goal(self) -> dict[str, float]:
        """The goals that were given."""
        return {name: value for name in ("flops", "seconds", "damage_limit")
                if (value := getattr(self, name)) is not None}

    def settings(self) -> dict[str, Any]:
        """All that measurements depend on, as plain data."""
        whole = asdict(self)
        return {"model": self.watch.model,
                "watch": {name: whole["watch"][name] for name in _WATCH},
                "tokens": None if self.tokens is None else list(self.tokens),
                "sparsities": list(self.sparsities), "reference": self.reference,
                "calibration": {name: whole[name] for name in (
                    "rule", "method", "calibration", "limit", "seed")},
                "answer_tokens": self.answer_tokens, "unit": self.unit,
                **({} if self.seconds is None else {
                    "timed": self.timed, "values": self.values,
                    "max_new_tokens": self.watch.max_new_tokens})}


class Calibration:
    """A session, its questions, and what pruning needs of them.

    Parameters
    ----------
    options
        How.
    questions
        The file.

    Attributes
    ----------
    watching, asked
        For ``joined_points``.
    timed
        Questions whose frames are decoded anew each time.
    identity
        Digests of the weights, the scorer and the clips.
    tokens, reference
        The ladder, and all tokens of a video where they are given.
    most
        Tokens of the ladder's top.
    prompts
        After :meth:`prepare`.

    Raises
    ------
    NeurosparseError
        As for ``read_questions`` and ``VideoSession``; videos that are not there.
    """

    def __init__(self, options: JoinedOptions, questions: str | Path) -> None:
        self.options = options
        drawn = drawn_questions(read_questions(questions, labelled=options.labelled),
                                options.limit, options.seed)
        videos = list(dict.fromkeys(one.video for one in drawn))
        for video in videos:
            index_video(video)
        session = VideoSession(options.watch)
        self.identity = {**session_identity(session), "clips": clips_digest(videos)}
        watch = options.watch
        self.watching = Watching(
            session.main.model, session.main.family, session.main.processor, _Scorers(session),
            Sharing(cast(Any, watch.rule), watch.power, guard=watch.guard,
                    resizer=cast(Any, watch.resizer)),
            # Nothing is looked for where nobody looks.
            cast(Mode, "off" if watch.scorer == "none" else watch.decoupling),
            cache=watch.cache, answer_tokens=options.answer_tokens)
        self.asked = [_asked(one, _Held(session, one.video)) for one in drawn]
        self.timed = [_asked(one, _Fresh(watch, one.video)) for one in drawn[: options.timed]]
        self.prompts: list[Prompt] = []
        self.tokens: tuple[int, ...] = options.tokens or ()
        self.reference = options.reference
        self._profile: Profile | None = None

    @property
    def most(self) -> int:
        """The top of the ladder."""
        return self.tokens[-1]

    def prepare(self, *, rule: bool = True, progress: Progress = silent) -> None:
        """Find the ladder, the prompts that pruning is calibrated on, and the rule's evidence.

        Without ``rule`` no evidence: for a budget that is there already.
        """
        options, watching = self.options, self.watching
        if not self.tokens:
            blind = watching.blind()
            top = options.reference or own_tokens(
                watching, blind.look(self.asked[0], blind.make_scorer(blind.model)))
            self.tokens = tuple(sorted({max(1, round(top * share)) for share in LADDER}))
        self.prompts = calibration_prompts(watching, self.asked[: options.calibration],
                                           self.tokens, progress=progress)
        if not rule:
            return
        if not evidence_for(options.rule):
            self._profile = sizes_only(watching.model)
            return
        with reading(watching.model, watching.family, of_one_length(self.prompts)) as numbers:
            self._profile = profile(
                watching.model, numbers, method=options.method, batch_size=1, progress=progress,
                evidence=evidence_of(options.rule, max(options.sparsities), {}, products="own"))

    def budget_of(self, sparsity: float) -> Budget:
        """What every linear gives at a sparsity."""
        assert self._profile is not None, "prepare comes first"
        return allocate(self._profile, sparsity, rule=self.options.rule)


def drawn_questions(questions: list[VideoQuestion], limit: int | None, seed: int
                    ) -> list[VideoQuestion]:
    """Some of the questions, those about one video next to one another."""
    chosen = list(range(len(questions)))
    if limit is not None and limit < len(chosen):
        rng = np.random.default_rng(seed)
        chosen = sorted(int(i) for i in rng.choice(len(questions), limit, replace=False))
    some = [questions[i] for i in chosen]
    first = list(dict.fromkeys(one.video for one in some))
    return sorted(some, key=lambda one: first.index(one.video))


def _asked(one: VideoQuestion, frames: Any) -> VideoAsked:
    return VideoAsked(str(one.video), frames, one.question, one.options, one.answer)


@dataclass(frozen=True)
class _Held:
    """Frames of a video that the session keeps until another is asked for."""

    session: VideoSession
    video: Path

    def __call__(self) -> Frames:
        return self.session.frames(self.video)


@dataclass(frozen=True)
class _Fresh:
    """Frames decoded each time."""

    watch: VideoOptions
    video: Path

    def __call__(self) -> Frames:
        return sample_frames(self.video, self.watch.frames, side=self.watch.side)


@dataclass
class _Scorers:
    """The scorer for a model: itself, or the one that the session has opened."""

    session: VideoSession
    tokens: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.session.options.scorer_tokens

    def __call__(self, model: Any) -> Any:
        options = self.session.options
        if options.scorer not in ("self", "words"):
            return self.session.scorer
        return open_scorer(options.scorer, replace(self.session.main, model=model),
                           tokens=self.tokens, paraphrase=options.paraphrase)
