"""``neurosparse allocate``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def command(
    profile: Annotated[str, typer.Argument(help="Profile file of neurosparse profile.")],
    sparsity: Annotated[float | None, typer.Option(
        help="Share of the weights to take away, in [0, 1).")] = None,
    bits: Annotated[float | None, typer.Option(
        help="Instead: bits a packed 16-bit weight may take on average.")] = None,
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
    explain: Annotated[bool, typer.Option("--explain", help="Print the evidence.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the budget as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Decide how much of every linear may go."""
    from neurosparse.budgets import Profile, check_sparsity, sparsity_for_bits
    from neurosparse.budgets import explain as explained
    from neurosparse.errors import BudgetError

    if (sparsity is None) == (bits is None):
        raise BudgetError("allocate", found="--sparsity and --bits" if bits else "no total",
                          expected="one of --sparsity and --bits")
    if sparsity is not None:
        total = check_sparsity(sparsity)
    else:
        assert bits is not None
        total = sparsity_for_bits(bits)
    options: dict[str, Any] = dict(_pair("--option", text) for text in option or [])
    found = explained(Profile.read(profile), total, rule=rule, lower=_bounds("--lower", lower, 0.0),
                      upper=_bounds("--upper", upper, 1.0), multiple=multiple, **options)
    found.budget.write(out)
    if as_json:
        print(json.dumps(found.budget.as_dict(), indent=2))
    elif explain:
        print(found)
    else:
        rates = [target.value for target in found.budget.targets]
        print(f"{out}: rule {rule}, {len(rates)} linears give {min(rates):.1%} to "
              f"{max(rates):.1%}, {found.budget.total.kept:.4%} in all")


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
