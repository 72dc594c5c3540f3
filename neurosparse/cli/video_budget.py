"""``neurosparse video budget``: how much to take from frames and how much from weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli import options as run
from neurosparse.cli.progress import shown
from neurosparse.cli.show import duration as spoken
from neurosparse.cli.show import print_facts, print_json, size
from neurosparse.cli.video_options import (
    Cache,
    Converted,
    Decoupling,
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
)

if TYPE_CHECKING:
    from neurosparse.pipeline import VideoOptions

_Goal = "Goal (one of them)"
_Points = "What is measured"


def command(
    questions: Annotated[str, typer.Argument(
        help="JSON lines of video and question, maybe options and answer: to calibrate on.")],
    model: ModelName,
    flops: Annotated[float | None, typer.Option(
        help="Operations of an answer, in shares of the dense model's with all tokens.",
        rich_help_panel=_Goal)] = None,
    seconds: Annotated[float | None, typer.Option(
        help="Seconds of an answer on this machine, packed.", rich_help_panel=_Goal)] = None,
    damage_limit: Annotated[float | None, typer.Option(
        help="Nats of damage; the least operations are sought.", rich_help_panel=_Goal)] = None,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "joined",
    damage: Annotated[str, typer.Option(
        help="kl (to the dense model with all tokens) or loss (of the right option).",
        rich_help_panel=_Points)] = "kl",
    tokens: Annotated[str | None, typer.Option(
        help="Ladder of token budgets, as 196,784,3136; 1/32 to all where it is not given.",
        rich_help_panel=_Points)] = None,
    sparsities: Annotated[str, typer.Option(
        help="Ladder of sparsities.", rich_help_panel=_Points)] = "0,0.3,0.5,0.6,0.7",
    all_tokens: Annotated[int | None, typer.Option(
        help="All tokens of a video; the model's own number where it is not given.",
        rich_help_panel=_Points)] = None,
    budget_rule: Annotated[str, typer.Option(
        help="Which linear gives how much: uniform, propagation ... (docs/rules.md).",
        rich_help_panel=_Points)] = "uniform",
    method: of.Method = "wanda",
    calibration: Annotated[int, typer.Option(
        help="Questions that pruning is calibrated on.", rich_help_panel=_Points)] = 32,
    limit: Annotated[int | None, typer.Option(
        help="Only so many questions, drawn by --seed.", rich_help_panel=_Points)] = None,
    timed: Annotated[int, typer.Option(
        help="Questions that are timed, with --seconds.", rich_help_panel=_Points)] = 3,
    values: Annotated[str, typer.Option(
        help="As what the packed model is timed.", rich_help_panel=_Points)] = "bf16",
    check: Annotated[bool, typer.Option(
        "--check/--no-check", help="Measure the choice itself as well.",
        rich_help_panel=_Points)] = True,
    frames: FrameCount = None, resizer: Resizer = "bilinear", side: FrameSide = None,
    decoupling: Decoupling = "entities", scorer: ScorerName = "self",
    scorer_tokens: ScorerTokens = None, paraphrase: Paraphrase = False,
    rule: Rule = "power", power: Power = 2.0,
    guard: Guard = True, cache: Cache = None, max_new_tokens: NewTokens = 16,
    converted: Converted = None, dtype: of.Dtype = "float32", device: of.Device = "cpu",
    seed: run.Seed = 0, resume: run.Resume = False, overwrite: run.Overwrite = False,
    dry_run: run.DryRun = False, as_json: run.AsJson = False, progress: of.Shown = "auto",
    debug: of.Debug = False,
) -> None:
    """How much to take from frames and how much from weights, within operations or seconds."""
    from neurosparse.pipeline import JoinedOptions, VideoOptions, video_budget, video_budget_cost

    watch = VideoOptions(
        model=model, token_budget=1, frames=frames, decoupling=decoupling, scorer=scorer,
        scorer_tokens=scorer_tokens, paraphrase=paraphrase, resizer=resizer, rule=rule,
        power=power, guard=guard, side=side, cache=cache, max_new_tokens=max_new_tokens,
        dtype=dtype, device=device, converted=converted)
    options = JoinedOptions(
        watch, flops=flops, seconds=seconds, damage_limit=damage_limit, damage=damage,
        tokens=None if tokens is None else cast(tuple[int, ...], _levels(tokens)),
        sparsities=_levels(sparsities), reference=all_tokens, rule=budget_rule, method=method,
        calibration=calibration, limit=limit, seed=seed, timed=timed, values=values, check=check)
    if dry_run:
        _print_cost(video_budget_cost(options, questions), as_json=as_json)
        return
    with shown(progress) as see:
        found = video_budget(options, questions, out=out, resume=resume, overwrite=overwrite,
                             progress=see)
    if as_json:
        print_json(found)
        return
    _print(found, out)
    print(f"\nneurosparse prune {model} --budget {out}/budget.json --questions {questions} "
          f"--method {method} --out PRUNED\nneurosparse video VIDEO QUESTION --model PRUNED "
          f"--token-budget {out}/budget.json{_flags(watch)}")


def _flags(watch: VideoOptions) -> str:
    """What must be given to watch in the way that was measured."""
    usual = {"decoupling": "entities", "scorer": "self", "resizer": "bilinear", "rule": "power",
             "power": 2.0}
    given = {name: getattr(watch, name) for name in ("frames", "side", "scorer_tokens", *usual)}
    return "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items()
                   if value != usual.get(name)) + (
                       " --paraphrase" if watch.paraphrase else "") + (
                       "" if watch.guard else " --no-guard")


def _levels(text: str) -> tuple[float, ...]:
    from neurosparse.errors import InputError

    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise InputError("video budget", found=f"levels {text!r}",
                         expected="numbers with commas between them") from None


def _print(found: dict[str, Any], out: str) -> None:
    best, unit = found["best"], found["unit"]
    measured = found["measured"]
    said = "" if measured is None else (
        f"; measured {measured['damage']:.3f} ± {measured['stderr']:.3f}")
    print(f"{best['tokens']:,} tokens, {best['sparsity']:.2%} of the decoder's weights go")
    print()
    facts = [("cost", f"{_amount(best['cost'], unit)} an answer, {best['of_dense']:.1%} of dense "
                      f"with all tokens ({_amount(found['dense'], unit)})"),
             ("damage", f"{best['damage']:.3f} nats{said}")]
    for name in ("tokens_alone", "sparsity_alone"):
        one = found[name]
        facts.append((name.replace("_", " "), "out of reach" if one is None else
                      f"{one['damage']:.3f} nats with {one['tokens']:,} tokens at "
                      f"{one['sparsity']:.2%}"))
    extra = found["additivity"]
    facts += [("together", f"{extra['share']:+.0%} ± {extra['share_stderr']:.0%} of the sum of "
                           "both alone"),
              ("questions", f"{found['questions']:,} about {found['videos']:,} videos"),
              ("picture", f"{out}/joined.png")]
    print_facts(facts)


def _amount(cost: float, unit: str) -> str:
    return f"{cost:.3g} s" if unit == "seconds" else f"{cost / 1e9:,.3g} GFLOP"


def _print_cost(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print(f"{found['questions']} questions about {found['videos']} videos, of {found['frames']} "
          f"frames; {found['points']} points\n"
          f"{found['model']}: {found['parameters']:,} parameters")
    for stage, value in found["seconds"].items():
        print(f"  {stage:<8} about {spoken(value)}, without vision")
    print(f"memory about {size(found['memory_bytes'])}\nNothing was run or written.")
