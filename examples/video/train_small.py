"""Train a small video-language model on generated videos, and ask it within token budgets.

    python examples/video/train_small.py --out out/small-video
    python examples/video/train_small.py --quick

The model is a LLaVA-OneVision of transformers' classes (a small SigLIP, the projector, a small
Qwen2), random at the start. It learns frames first (does this one matter? what colour is it?), then
whole videos at changing budgets, and beside both to list what must be seen, so that afterwards it
is its own scorer and decoupler. --out gets a folder that `neurosparse video` takes, held-out clips
with questions for `neurosparse video eval`, and `results.json`: accuracy on held-out questions and
layouts at several budgets, an even share against QuoTA. --minutes bounds the training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_model import (
    Example,
    Size,
    frame_example,
    list_example,
    loss_of,
    make_model,
    video_example,
)
from small_videos import Sample, make, write_clip

from neurosparse.video import AskedScorer, Frames, ask


@dataclass(frozen=True)
class Plan:
    """How long, how large, how many.

    Attributes
    ----------
    minutes
        Of training; a third of them on single frames.
    frames
        In a video.
    batch
        Of single frames; of videos a quarter as many.
    most
        Steps at most, of each of the two parts.
    rate
        The highest learning rate.
    questions, budgets
        Held-out questions, and tokens that they are asked with.
    """

    size: Size = field(default_factory=Size)
    minutes: float = 23.0
    frames: int = 24
    batch: int = 32
    most: int = 100_000
    rate: float = 1e-3
    questions: int = 200
    budgets: tuple[int, ...] = (48, 96, 192, 384, 768)


QUICK = Plan(Size(32, 1, 48, 2), minutes=3.0, frames=8, batch=16, most=40, rate=3e-3,
             questions=8, budgets=(48,))


def train(model: Any, processor: Any, plan: Plan, seed: int) -> list[float]:
    """Both parts; the loss of every step."""
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.01)
    losses: list[float] = []

    def frames() -> list[Example]:
        some = [frame_example(make(rng, 6), rng) for _ in range(plan.batch - 2)]
        return [*some, list_example(make(rng, 6)), list_example(make(rng, 6))]

    def videos() -> list[Example]:
        some = [video_example(make(rng, plan.frames), rng) for _ in range(plan.batch // 4)]
        return [*some, *(frame_example(make(rng, 6), rng) for _ in range(plan.batch // 8))]

    parts: list[tuple[str, Callable[[], list[Example]], float]] = [
        ("frames", frames, plan.minutes / 3), ("videos", videos, plan.minutes * 2 / 3)]
    model.train()
    for name, batch, minutes in parts:
        begin, step = time.monotonic(), 0
        while step < plan.most and (done := (time.monotonic() - begin) / 60 / minutes) < 1:
            done = max(done, step / plan.most)
            for group in optimiser.param_groups:
                # Warm up, then down along a cosine of the time that is spent.
                group["lr"] = (plan.rate * min(1.0, (step + 1) / min(200, plan.most / 4))
                               * (0.05 + 0.475 * (1 + np.cos(np.pi * done))))
            loss = loss_of(model, processor, batch())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            losses.append(float(loss.detach()))
            step += 1
            if step % 100 == 0:
                print(f"{name} {step}: loss {np.mean(losses[-100:]):.3f}", flush=True)
    model.eval().requires_grad_(False)
    return losses


def held_out(plan: Plan, seed: int) -> list[Sample]:
    """Questions about things and places that training never saw."""
    rng = np.random.default_rng([seed, 1])
    return [make(rng, plan.frames, held_out=True) for _ in range(plan.questions)]


def evaluate(model: Any, processor: Any, samples: list[Sample], plan: Plan) -> dict[str, Any]:
    """Whether each question is answered right, by way and budget."""
    scorer = AskedScorer(model, processor)
    even: Callable[..., Any] = lambda pictures, question: np.ones(len(pictures))  # noqa: E731
    ways: dict[str, dict[str, Any]] = {
        "even": {"scorer": even, "decoupling": "off"},
        "quota": {"scorer": scorer, "decoupling": "entities"},
        "quota, not decoupled": {"scorer": scorer, "decoupling": "off"}}
    full = plan.frames * 49
    right: dict[str, list[bool]] = {}
    for budget in (*plan.budgets, full):
        for name, how in ways.items():
            if budget < full or name == "even":  # with all tokens there is nothing to share
                right[f"{name} {budget}"] = [
                    one.answer == ask(model, processor, _frames(one), one.question,
                                      token_budget=budget, max_new_tokens=3, **how).text
                    for one in samples]
    return right


def _frames(one: Sample) -> Frames:
    count = len(one.pictures)
    return Frames(tuple(one.pictures), np.arange(count) / 2, count / 2)


def write_questions(samples: list[Sample], out: Path) -> None:
    """Clips and records for ``neurosparse video eval``."""
    (out / "clips").mkdir(parents=True, exist_ok=True)
    lines = []
    for at, one in enumerate(samples):
        write_clip(out / "clips" / f"{at:04d}.mp4", one.pictures)
        lines.append(json.dumps({"video": f"clips/{at:04d}.mp4", "question": one.question,
                                 "options": one.options, "answer": one.answer,
                                 "group": one.kind}))
    (out / "questions.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Train, keep, ask."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="out/small-video")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="that it runs, and nothing else")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Plan()
    if arguments.minutes is not None:
        plan = replace(plan, minutes=arguments.minutes)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    model, processor = make_model(plan.size, arguments.seed)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count:,} parameters; {plan.minutes:g} minutes at most")
    losses = train(model, processor, plan, arguments.seed)
    for part in (model, processor.image_processor, processor.tokenizer):
        part.save_pretrained(out / "model")
    samples = held_out(plan, arguments.seed)
    write_questions(samples, out)
    right = evaluate(model, processor, samples, plan)
    (out / "results.json").write_text(json.dumps(
        {"plan": asdict(plan), "seed": arguments.seed, "parameters": count,
         "losses": [round(loss, 4) for loss in losses], "kinds": [s.kind for s in samples],
         "right": right}, indent=1) + "\n")
    chance = np.mean([1 / len(one.options) for one in samples])
    print(f"{len(samples)} held-out questions; a guess among the options is right {chance:.1%}")
    for name, found in right.items():
        share = np.mean(found)
        print(f"{name:<28} {share:6.1%} ± {(share * (1 - share) / len(found)) ** 0.5:.1%}")
    print(f'neurosparse video eval {out}/questions.jsonl --model {out}/model --token-budget '
          f'{plan.budgets[-1]}')


if __name__ == "__main__":
    main()
