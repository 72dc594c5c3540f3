"""Train a small video-language model on generated videos, and ask it within token budgets.

    python examples/video/train_small.py --out out/small-video
    python examples/video/train_small.py --quick

The model is a LLaVA-OneVision of transformers' classes (a small SigLIP, the projector, a small
Qwen2), random at the start. Five parts: words of patches (then the tower is frozen); frames with
few things, where the word that is looked for stands last; frames of clutter, asked as a scorer is
asked; whole videos at changing budgets, shown in all ways; lists of what must be seen. So it is its
own scorer and decoupler. --out gets a folder that `neurosparse
video` takes, held-out clips with questions for `neurosparse video eval`, and `results.json`.
`benchmarks/table_video.py` compares ways and budgets on it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_lessons import (
    Lesson,
    frame_lessons,
    letter_lesson,
    list_lesson,
    lookup_lessons,
    loss_of,
    video_lesson,
)
from small_model import Size, make_model
from small_tower import patch_loss
from small_videos import PLACES, Scene, make, write_clip

from neurosparse.video import AskedScorer, Frames, ask


@dataclass(frozen=True)
class Plan:
    """How long, how large, how many.

    Attributes
    ----------
    steps
        Of each part: patches, few things, frames, videos, lists.
    frames
        In a video.
    rate
        The highest learning rate.
    videos, budgets
        Held-out videos of four questions, and tokens that they are asked with.
    """

    size: Size = field(default_factory=Size)
    steps: tuple[int, int, int, int, int] = (200, 250, 400, 700, 150)
    frames: int = 24
    rate: float = 1.5e-3
    videos: int = 25
    budgets: tuple[int, ...] = (50, 150)


QUICK = Plan(Size(32, 1, 48, 4), steps=(40, 20, 6, 6, 4), frames=8, videos=2, budgets=(50,))


class Trainer:
    """A model, its optimiser and the losses of all steps."""

    def __init__(self, model: Any, processor: Any, plan: Plan, seed: int) -> None:
        self.model, self.processor, self.plan = model, processor, plan
        self.rng = np.random.default_rng(seed)
        self.losses: dict[str, list[float]] = {}

    def run(self, name: str, steps: int, step_of: Callable[[], tuple[Any, float]], rate: float
            ) -> None:
        """One part: warm up, then down to nothing over the last third."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        losses, shares, begin = self.losses.setdefault(name, []), list[float](), time.monotonic()
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1, (step + 1) / 50, (1 - step / steps) * 3 + 0.02)
            loss, right = step_of()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            losses.append(float(loss.detach()))
            shares.append(right)
            if (step + 1) % 100 == 0 or step + 1 == steps:
                print(f"{name} {step + 1}: loss {np.mean(losses[-100:]):.3f}, right "
                      f"{np.mean(shares[-100:]):.1%}, {time.monotonic() - begin:.0f} s", flush=True)

    def lessons(self, batch: list[Lesson]) -> tuple[Any, float]:
        """Loss of a batch and the share of right first words."""
        loss, right = loss_of(self.model, self.processor, batch)
        return loss, float(np.mean([one for some in right for one in some]))

    def patches(self) -> tuple[Any, float]:
        """What stands in each patch."""
        return patch_loss(self.model, self.processor.tokenizer, self.rng, 32)

    def few(self) -> tuple[Any, float]:
        """Frames with few things."""
        return self.lessons(lookup_lessons(self.rng, 12))

    def frames(self) -> tuple[Any, float]:
        """Frames of clutter, as a scorer is asked."""
        return self.lessons([*self.few_things(2, 2), *self.scored(2, 2), *self.text(4)])

    def videos(self) -> tuple[Any, float]:
        """Whole videos at one budget a step, and some of all that came before."""
        frames = self.plan.frames
        tokens = int(np.exp(self.rng.uniform(np.log(frames), np.log(frames * PLACES**2))))
        some = [video_lesson(make(self.rng, frames), self.rng, tokens) for _ in range(4)]
        # Short ones, in which order and number are seen without a search.
        some += [video_lesson(make(self.rng, 6), self.rng, int(self.rng.integers(60, 151)))
                 for _ in range(3)]
        return self.lessons([*some, *self.few_things(1, 3), *self.scored(1, 1), *self.text(1)])

    def few_things(self, plain: int, offered: int) -> list[Lesson]:
        """Frames with few things, without options and with them."""
        return [*lookup_lessons(self.rng, plain),
                *lookup_lessons(self.rng, offered, options=True)]

    def lists(self) -> tuple[Any, float]:
        """What must be seen, and a little of all the rest, so that it stays."""
        listed = [list_lesson(make(self.rng, 4), self.rng) for _ in range(6)]
        some = [video_lesson(make(self.rng, self.plan.frames), self.rng, 200) for _ in range(2)]
        return self.lessons([*listed, *some, *self.few_things(1, 1), *self.scored(1, 1)])

    def scored(self, words: int, letters: int) -> list[Lesson]:
        """Two frames of each of some scenes."""
        return [lesson for letter, count in ((False, words), (True, letters))
                for _ in range(count)
                for lesson in frame_lessons(make(self.rng, 4), self.rng, 2, letters=letter)]

    def text(self, count: int) -> list[Lesson]:
        """Letters of options, and what must be seen."""
        return [*(letter_lesson(make(self.rng, 4), self.rng) for _ in range(count)),
                list_lesson(make(self.rng, 4), self.rng)]


def train(model: Any, processor: Any, plan: Plan, seed: int) -> dict[str, list[float]]:
    """All parts; the losses."""
    trainer = Trainer(model, processor, plan, seed)
    model.train()
    decoder = model.model.language_model.layers.requires_grad_(False)
    trainer.run("patches", plan.steps[0], trainer.patches, 2e-3)
    decoder.requires_grad_(True)
    model.model.vision_tower.requires_grad_(False)
    trainer.run("few", plan.steps[1], trainer.few, plan.rate * 4 / 3)
    trainer.run("frames", plan.steps[2], trainer.frames, plan.rate)
    trainer.run("videos", plan.steps[3], trainer.videos, plan.rate)
    trainer.run("lists", plan.steps[4], trainer.lists, plan.rate * 2 / 3)
    model.eval().requires_grad_(False)
    return trainer.losses


def held_out(plan: Plan, seed: int) -> list[Scene]:
    """Questions and places that training never saw."""
    rng = np.random.default_rng([seed, 1])
    return [make(rng, plan.frames, held_out=True) for _ in range(plan.videos)]


def evaluate(model: Any, processor: Any, scenes: list[Scene], plan: Plan) -> dict[str, list[bool]]:
    """Whether each question is answered right, by way and budget, through ``ask``."""
    scorer = AskedScorer(model, processor, tokens=PLACES**2)
    ways: dict[str, dict[str, Any]] = {
        "even": {"scorer": lambda pictures, question: np.ones(len(pictures)),
                 "decoupling": "off"},
        "quota": {"scorer": scorer, "decoupling": "off"}}
    full, right = plan.frames * PLACES**2, {}
    for budget in (*plan.budgets, full):
        for name, how in ways.items():
            if budget < full or name == "even":  # with all tokens there is nothing to share
                right[f"{name} {budget}"] = [
                    one.answer == ask(model, processor, _frames(scene), one.question,
                                      token_budget=budget, options=one.options,
                                      max_new_tokens=3, **how).text
                    for scene in scenes for one in scene.asked]
    return right


def _frames(scene: Scene) -> Frames:
    count = len(scene.pictures)
    return Frames(tuple(scene.pictures), np.arange(count) / 2, count / 2)


def write_questions(scenes: list[Scene], out: Path) -> None:
    """Clips and records for ``neurosparse video eval``."""
    (out / "clips").mkdir(parents=True, exist_ok=True)
    lines = []
    for at, scene in enumerate(scenes):
        write_clip(out / "clips" / f"{at:04d}.mp4", scene.pictures)
        lines += [json.dumps({"video": f"clips/{at:04d}.mp4", "question": one.question,
                              "options": one.options, "answer": one.answer, "group": one.kind})
                  for one in scene.asked]
    (out / "questions.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Train, keep, ask."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="out/small-video")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="that it runs, and nothing else")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Plan()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    model, processor = make_model(plan.size, arguments.seed)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count:,} parameters")
    begin, spent = time.monotonic(), time.process_time()
    losses = train(model, processor, plan, arguments.seed)
    seconds = {"wall": time.monotonic() - begin, "processor": time.process_time() - spent}
    print(f"trained in {seconds['wall'] / 60:.1f} minutes ({seconds['processor'] / 60:.1f} of "
          "processor time)")
    for part in (model, processor.image_processor, processor.tokenizer):
        part.save_pretrained(out / "model")
    scenes = held_out(plan, arguments.seed)
    write_questions(scenes, out)
    right = evaluate(model, processor, scenes, plan)
    asked = [one for scene in scenes for one in scene.asked]
    (out / "results.json").write_text(json.dumps(
        {"plan": asdict(plan), "seed": arguments.seed, "parameters": count, "seconds": seconds,
         "losses": {name: [round(loss, 4) for loss in some] for name, some in losses.items()},
         "kinds": [one.kind for one in asked], "right": right}, indent=1) + "\n")
    chance = np.mean([1 / len(one.options) for one in asked])
    print(f"{len(asked)} held-out questions; a guess among the options is right {chance:.1%}")
    for name, found in right.items():
        share = np.mean(found)
        print(f"{name:<28} {share:6.1%} ± {(share * (1 - share) / len(found)) ** 0.5:.1%}")
    print(f'neurosparse video eval {out}/questions.jsonl --model {out}/model --token-budget '
          f'{plan.budgets[-1]} --scorer-tokens {PLACES**2} --decoupling off')


if __name__ == "__main__":
    main()
