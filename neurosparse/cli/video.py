"""``neurosparse video``: one question about one video, or an accuracy over many."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from neurosparse.cli import model_options as of
from neurosparse.cli import options as run
from neurosparse.cli import video_budget
from neurosparse.cli.progress import shown
from neurosparse.cli.show import duration, print_facts, print_json, print_table, size
from neurosparse.cli.video_options import (
    Budget,
    Cache,
    Converted,
    Decoupling,
    Enough,
    FrameCount,
    FrameSide,
    Guard,
    ModelName,
    NewTokens,
    Paraphrase,
    Power,
    Resizer,
    Rule,
    ScorerName,
    ScorerTokens,
    Scoring,
    Stride,
)


class _AskFirst(TyperGroup):
    """A group whose command ``ask`` need not be named: a file comes first and is no command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``ask`` before whatever is neither a command nor a wish for help."""
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["ask", *args]
        found: list[str] = super().parse_args(ctx, args)
        return found


app = typer.Typer(
    cls=_AskFirst, no_args_is_help=True, add_completion=False,
    help='Ask about videos within a budget of tokens: video clip.mp4 "What is ...?" --model DIR '
         "--token-budget N; or video eval questions.jsonl; or video budget questions.jsonl.")
app.command("budget")(video_budget.command)


@app.command("ask")
def ask(
    video: Annotated[str, typer.Argument(help="Anything that FFmpeg reads.")],
    question: Annotated[str, typer.Argument(help="About it.")],
    model: ModelName, token_budget: Budget,
    option: Annotated[list[str] | None, typer.Option(
        help="An answer to choose from; give two or more of them.")] = None,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "answer",
    frames: FrameCount = None, resizer: Resizer = "bilinear", side: FrameSide = None,
    decoupling: Decoupling = "entities", scorer: ScorerName = "self",
    scorer_tokens: ScorerTokens = None, paraphrase: Paraphrase = False,
    scoring: Scoring = "full", stride: Stride = 4, enough: Enough = None,
    rule: Rule = "power", power: Power = 2.0,
    guard: Guard = True, cache: Cache = None, max_new_tokens: NewTokens = 64,
    converted: Converted = None, dtype: of.Dtype = "float32", device: of.Device = "cpu",
    seed: run.Seed = 0, overwrite: run.Overwrite = False, dry_run: run.DryRun = False,
    as_json: run.AsJson = False, progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """One question about one video: the answer, and a picture of what was looked at."""
    from neurosparse.pipeline import VideoOptions, token_budget_of, video_cost, video_step

    options = VideoOptions(
        model=model, token_budget=token_budget_of(token_budget), frames=frames,
        decoupling=decoupling, scorer=scorer, scorer_tokens=scorer_tokens,
        paraphrase=paraphrase, scoring=scoring, stride=stride, enough=enough, resizer=resizer,
        rule=rule, power=power, guard=guard, side=side, cache=cache,
        max_new_tokens=max_new_tokens, dtype=dtype, device=device, converted=converted)
    if dry_run:
        _print_cost(video_cost(options, video), as_json=as_json)
        return
    with shown(progress) as see:
        found = video_step(options, video, question, tuple(option or ()), out=out, seed=seed,
                           overwrite=overwrite, progress=see)
    if as_json:
        print_json(found)
        return
    _print(found, out)


@app.command("eval")
def evaluate(
    questions: Annotated[str, typer.Argument(
        help="JSON lines of video, question, options, answer, and maybe group.")],
    model: ModelName, token_budget: Budget,
    out: Annotated[str, typer.Option(help="Folder of the answers.")] = "video-eval",
    limit: Annotated[int | None, typer.Option(
        help="Only so many questions, drawn by --seed.")] = None,
    frames: FrameCount = None, resizer: Resizer = "bilinear", side: FrameSide = None,
    decoupling: Decoupling = "entities", scorer: ScorerName = "self",
    scorer_tokens: ScorerTokens = None, paraphrase: Paraphrase = False,
    scoring: Scoring = "full", stride: Stride = 4, enough: Enough = None,
    rule: Rule = "power", power: Power = 2.0,
    guard: Guard = True, cache: Cache = None, max_new_tokens: NewTokens = 16,
    converted: Converted = None, dtype: of.Dtype = "float32", device: of.Device = "cpu",
    seed: run.Seed = 0, resume: run.Resume = False, overwrite: run.Overwrite = False,
    dry_run: run.DryRun = False, as_json: run.AsJson = False, progress: of.Shown = "auto",
    debug: of.Debug = False,
) -> None:
    """Accuracy on questions with options, with its error; answers are kept as they come."""
    from neurosparse.pipeline import VideoOptions, token_budget_of, video_eval
    from neurosparse.pipeline.video_eval import video_eval_cost

    options = VideoOptions(
        model=model, token_budget=token_budget_of(token_budget), frames=frames,
        decoupling=decoupling, scorer=scorer, scorer_tokens=scorer_tokens,
        paraphrase=paraphrase, scoring=scoring, stride=stride, enough=enough, resizer=resizer,
        rule=rule, power=power, guard=guard, side=side, cache=cache,
        max_new_tokens=max_new_tokens, dtype=dtype, device=device, converted=converted)
    if dry_run:
        _print_eval_cost(video_eval_cost(options, questions, limit=limit, seed=seed),
                         as_json=as_json)
        return
    with shown(progress) as see:
        found = video_eval(options, questions, out=out, limit=limit, seed=seed, resume=resume,
                           overwrite=overwrite, progress=see)
    if as_json:
        print_json(found)
        return
    _print_accuracy(found, out)


def _print(found: dict[str, Any], out: str) -> None:
    units = found["units"]
    kept = [(time, count) for time, count in zip(units["times"], units["tokens"], strict=True)
            if count]
    print(found["answer"] or "(the model said nothing)")
    print()
    looked = [*found["asked"]["entities"], *found["asked"]["events"]]
    facts = [("looked for", ", ".join(looked))] if looked else []
    what = "frames" if units["frames"] == 1 else f"groups of {units['frames']} frames"
    most = max(kept, key=lambda one: one[1])
    facts += [
        ("tokens", f"{found['shown']:,} of {found['token_budget']:,} shown, in a sequence of "
                   f"{found['sequence']:,}"),
        ("shown", f"{len(kept)} of {len(units['times'])} {what}; most ({most[1]:,}) at "
                  f"{most[0]:.1f} s"),
        ("seconds", ", ".join(f"{name} {value:.2f}" for name, value in found["seconds"].items())),
        ("picture", f"{out}/answer.png")]
    print_facts(facts)
    for note in found["notes"]:
        print(f"note: {note}")


def _print_cost(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    width, height = found["size"]
    print(f"{found['video']}: {duration(found['duration'])}, {width} x {height}; "
          f"{found['frames']} of {found['frames_of_video']:,} frames are taken\n"
          f"{found['model']}: {found['parameters']:,} parameters; {found['token_budget']:,} "
          "tokens for the video")
    for stage, seconds in found["seconds"].items():
        print(f"  {stage:<8} about {seconds:8.1f} s, without vision")
    print(f"memory about {size(found['memory_bytes'])}\nNothing was run or written.")


def _print_eval_cost(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print(f"{found['questions']} questions about {found['videos']} videos, "
          f"{len(found['missing'])} of which are not there")
    for name in found["missing"][:5]:
        print(f"  missing: {name}")
    if found["first"] is not None:
        print("the first of them:")
        _print_cost(found["first"], as_json=False)
    else:
        print("Nothing was run or written.")


def _print_accuracy(found: dict[str, Any], out: str) -> None:
    rows = [(name or "all", f"{one['accuracy']:.1%}", f"{one['stderr']:.1%}",
             f"{one['interval'][0]:.1%} to {one['interval'][1]:.1%}", f"{one['questions']:,}")
            for name, one in {**found["groups"], "": found}.items()]
    print_table("", ("group", "accuracy", "error", "95 %", "questions"), rows)
    print(f"\nchance {found['chance']:.1%}; {found['tokens']:,.0f} tokens and "
          f"{sum(found['seconds'].values()):.2f} s a question")
    if found["unread"]:
        print(f"{found['unread']} answers name no option and count as wrong")
    if found["failed"]:
        print(f"{found['failed']} questions failed and are left out; --resume asks them again")
    print(f"{out}/answers.jsonl has every answer")
