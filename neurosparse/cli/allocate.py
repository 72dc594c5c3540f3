"""``neurosparse allocate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli.progress import shown

if TYPE_CHECKING:
    from neurosparse.budgets import Budget, Profile


def command(
    profile: Annotated[str, typer.Argument(help="Profile file of neurosparse profile.")],
    sparsity: Annotated[float | None, typer.Option(
        help="Share of the weights to take away, in [0, 1).")] = None,
    bits: Annotated[float | None, typer.Option(
        help="Instead: bits a packed 16-bit weight may take on average.")] = None,
    max_bytes: Annotated[float | None, typer.Option(
        help="Instead: bytes of the packed model at most (150e6); with --model.")] = None,
    tokens_per_s: Annotated[float | None, typer.Option(
        help="Instead: decode speed here at least; measured on up to 6 models; with --model.")]
    = None,
    max_perplexity: Annotated[float | None, typer.Option(
        help="Instead: perplexity of the selection text at most; measured on up to 6 models; "
             "with --model.")] = None,
    model: Annotated[str | None, typer.Option(help="The model, for these goals.")] = None,
    calibration: of.Calibration = None, windows: of.Windows = 32,
    window_length: of.WindowLength = 512, method: of.Method = "wanda",
    refit: Annotated[float | None, typer.Option(
        help="The strength that prune --refit will get: above 60 % propagation then gives rates "
             "nearer to the mean.")] = None,
    rule: Annotated[str, typer.Option(help="propagation, owl, ... (docs/rules.md).")]
    = "propagation",
    option: Annotated[list[str] | None, typer.Option(
        help="Option of the rule, NAME=VALUE; may be repeated.")] = None,
    lower: Annotated[list[str] | None, typer.Option(
        help="Least rate, RATE or PATTERN=RATE; may be repeated.")] = None,
    upper: Annotated[list[str] | None, typer.Option(
        help="Greatest rate, RATE or PATTERN=RATE; may be repeated.")] = None,
    multiple: Annotated[int | None, typer.Option(
        help="Round rates to multiples of 1/M (8: N of N:8).")] = None,
    out: Annotated[str, typer.Option(help="Budget file (JSON).")] = "budget.json",
    figure: Annotated[str | None, typer.Option(
        help="Also draw the budget beside those of other rules, FILE.svg or .png.")] = None,
    beside: Annotated[list[str] | None, typer.Option(
        help="Rule to draw beside it; may be repeated; else every one the profile serves.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print the evidence.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the budget as JSON.")] = False,
    force: Annotated[bool, typer.Option(
        "--force", help="Take a profile of another model.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Decide how much of every linear may go."""
    from neurosparse.budgets import (
        Profile,
        check_options,
        check_profile,
        check_sparsity,
        sparsity_for_bits,
    )
    from neurosparse.budgets import explain as explained
    from neurosparse.errors import BudgetError
    from neurosparse.models import identity, load_empty
    from neurosparse.pipeline.goals import Goal, allocator_of, sparsity_for_goal
    from neurosparse.pipeline.steps import StepOptions
    from neurosparse.pruning import propagation_options
    from neurosparse.records import RunRecord, record_beside

    goal = _one_of({"--sparsity": sparsity, "--bits": bits, "--max-bytes": max_bytes,
                    "--tokens-per-s": tokens_per_s, "--max-perplexity": max_perplexity})
    _refuse_taken(out, overwrite)
    options: dict[str, Any] = dict(_pair("--option", text) for text in option or [])
    if rule == "propagation":
        options = {**propagation_options(method, refit), **options}
    check_options(rule, options)
    measured = Profile.read(profile)
    bounds = {"lower": _bounds("--lower", lower, 0.0), "upper": _bounds("--upper", upper, 1.0),
              "multiple": multiple}
    record = RunRecord("allocate", arguments={
        "profile": profile, "out": out, "goal": goal, "rule": rule, "options": options,
        "method": method, "refit": refit, "model": model, **bounds})
    if sparsity is not None:
        total = check_sparsity(sparsity)
    elif bits is not None:
        total = sparsity_for_bits(bits)
    else:
        if model is None:
            raise BudgetError("allocate", found=f"{goal} without --model",
                              expected="the model to count or measure")
        stage = StepOptions(model, calibration, windows, window_length, method=method)
        stage.full()
        check_profile(measured, model=identity(load_empty(model)), force=force)
        with shown(progress) as see, record.timed("goal"):
            met = sparsity_for_goal(Goal(max_bytes, tokens_per_s, max_perplexity), stage,
                                    allocator_of(measured, rule, options, **bounds), progress=see)
        total = met.sparsity
        record.results = {"value": met.value, "trials": met.trials}
        print(f"sparsity {total:.4f}: {_met(goal, met.value)}, {len(met.trials)} evaluations",
              file=sys.stderr)
    record.results["sparsity"] = total
    found = explained(measured, total, rule=rule, **bounds, **options)
    found.budget.write(out)
    record.write(record_beside(out))
    if figure is not None:
        _draw(figure, measured, found.budget, beside, bounds)
    print(json.dumps(found.budget.as_dict(), indent=2) if as_json else
          found if explain else _short(out, found.budget))


def _refuse_taken(out: str, overwrite: bool) -> None:
    """A budget may have been edited by hand: it is not replaced unasked."""
    from neurosparse.errors import InputError

    if Path(out).exists() and not overwrite:
        raise InputError("allocate", found=f"{out} exists", expected="a new file",
                         mend="Name another with --out, or replace it with --overwrite.")


def _short(out: str, budget: Budget) -> str:
    rates = [target.value for target in budget.targets]
    return (f"{out}: rule {budget.rule.name}, {len(rates)} linears give {min(rates):.1%} to "
            f"{max(rates):.1%}, {budget.total.kept:.4%} in all")


def _draw(path: str, profile: Profile, budget: Budget, beside: list[str] | None,
          bounds: dict[str, Any]) -> None:
    """The rules named, or all that the profile serves without options."""
    from neurosparse.budgets import RULES, allocate
    from neurosparse.errors import BudgetError
    from neurosparse.files import write_whole
    from neurosparse.report import budgets

    drawn = {budget.rule.name: budget}
    for rule in beside or sorted(RULES):
        try:
            drawn.setdefault(rule, allocate(profile, budget.total.asked, rule=rule, **bounds))
        except BudgetError:
            if beside:
                raise
    picture = budgets(drawn)
    kind = path.rpartition(".")[2] if "." in path else "png"
    with write_whole(path) as whole:
        picture.savefig(whole, dpi=150, format=kind)


def _one_of(totals: dict[str, float | None]) -> str:
    """The name of the one total that was given."""
    from neurosparse.errors import BudgetError

    given = [name for name, value in totals.items() if value is not None]
    if len(given) != 1:
        raise BudgetError("allocate", found=" and ".join(given) or "no total",
                          expected="one of " + ", ".join(totals))
    return given[0]


def _met(goal: str, value: float) -> str:
    return f"{goal} " + (f"{1 / value:.4g}" if goal == "--tokens-per-s" else f"{value:,.6g}")


def _pair(name: str, text: str) -> tuple[str, Any]:
    from neurosparse.errors import InputError

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError("allocate", found=f"{name} {text!r}", expected="NAME=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _bounds(name: str, texts: list[str] | None, rest: float) -> Any:
    if not texts:
        return rest
    if len(texts) == 1 and "=" not in texts[0]:
        return _pair(name, f"x={texts[0]}")[1]
    return dict(_pair(name, text) for text in texts)
