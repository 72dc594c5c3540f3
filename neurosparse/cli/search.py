"""``neurosparse search``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli import options as run
from neurosparse.cli.progress import shown
from neurosparse.cli.show import print_json

_What = "What is cut"
_How = "How it is searched"
_Llm = "The language model that proposes (--proposer llm)"


def command(
    model: of.Model,
    rate: Annotated[float, typer.Option(
        help="Share of the blocks' parameters that goes.", rich_help_panel=_What)],
    out: Annotated[str, typer.Option(
        help="Folder of the archive, gone on with where it is there.")] = "search",
    proposer: Annotated[str, typer.Option(
        help="random, evolution, cma, tpe, line, llm.", rich_help_panel=_How)] = "evolution",
    evaluations: Annotated[int, typer.Option(
        help="Distinct configurations at most.", rich_help_panel=_How)] = 100,
    start: Annotated[str, typer.Option(
        help="Rule whose rates come first.", rich_help_panel=_How)] = "propagation",
    measure: Annotated[str, typer.Option(
        help="perplexity, or kl to the dense model.", rich_help_panel=_How)] = "perplexity",
    selection: Annotated[str | None, typer.Option(
        help="Text where the choice is made; the protocol's by default.", rich_help_panel=_How)]
    = None,
    windows: Annotated[int, typer.Option(
        help="Selection windows.", rich_help_panel=_How)] = 4,
    window_length: Annotated[int, typer.Option(help="Tokens.", rich_help_panel=_How)] = 256,
    metric: Annotated[str, typer.Option(
        help="flap, wanda-sp, magnitude, taylor, fisher.", rich_help_panel=_What)] = "flap",
    heads: Annotated[str, typer.Option(
        help="groups or queries.", rich_help_panel=_What)] = "queries",
    round_to: Annotated[int, typer.Option(
        help="Neurons that stay are a multiple of it.", rich_help_panel=_What)] = 1,
    compensate: Annotated[str, typer.Option(
        help="least_squares: evaluate with solved output weights; none: masks alone.",
        rich_help_panel=_What)] = "least_squares",
    calibration: of.Calibration = None,
    calibration_windows: Annotated[int, typer.Option(
        help="For the scores.", rich_help_panel=_What)] = 16,
    llm: Annotated[str | None, typer.Option(
        help="Model that is asked; the pruned one itself by default.", rich_help_panel=_Llm)]
    = None,
    server: Annotated[str | None, typer.Option(
        help="Base URL of an OpenAI-compatible server that has it.", rich_help_panel=_Llm)] = None,
    temperature: Annotated[float, typer.Option(
        help="Of its answers.", rich_help_panel=_Llm)] = 0.7,
    prompts: Annotated[str | None, typer.Option(
        help="Folder of templates in place of ours.", rich_help_panel=_Llm)] = None,
    max_tokens: Annotated[int, typer.Option(
        help="Where an answer is cut.", rich_help_panel=_Llm)] = 512,
    dtype: of.Dtype = "float32", products: of.Products = "auto", device: of.Device = "cpu",
    seed: run.Seed = 0, dry_run: run.DryRun = False, as_json: run.AsJson = False,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Search the rates of a structured cut, within a budget of evaluations."""
    from neurosparse.pipeline import SearchOptions, search_cost, search_run

    options = SearchOptions(
        model=model, rate=rate, proposer=proposer, evaluations=evaluations, seed=seed, start=start,
        metric=metric, heads=heads, round_to=round_to, compensate=compensate, measure=measure,
        selection=selection, calibration=calibration, windows=windows,
        window_length=window_length, calibration_windows=calibration_windows, llm=llm,
        server=server, temperature=temperature, prompts=prompts, max_tokens=max_tokens,
        dtype=dtype, products=products, device=device)
    if dry_run:
        cost = search_cost(options)
        if as_json:
            print_json(cost)
        else:
            _print_cost(cost)
        return
    with shown(progress) as see:
        found = search_run(options, out, progress=see)
    if as_json:
        print_json(found)
        return
    _print(found, options, out)


def _print_cost(found: dict[str, Any]) -> None:
    print(f"{found['model']}: {found['to_go']:,} of {found['linears']:,} parameters of the blocks' "
          f"linears are to go; {found['evaluations']} configurations of {found['sites']} rates, "
          f"about {found['seconds_an_evaluation']:g} s each")
    for stage, seconds in found["seconds"].items():
        print(f"  {stage:<8} about {seconds:8.0f} s")
    if found["answer_tokens_at_most"]:
        print(f"  the language model writes at most {found['answer_tokens_at_most']:,} tokens")
    print(f"memory about {found['memory_bytes'] / 1e6:,.0f} MB\nNothing was run or written.")


def _print(found: dict[str, Any], options: Any, out: str) -> None:
    unit = "nats a token of divergence" if found["measure"] == "kl" else "nats a token"
    first = "uniform" if options.proposer == "line" else options.start
    print(f"{found['evaluated']} configurations by {options.proposer}, {found['failed']} failed, "
          f"{found['shared']} known from the archive: {first} {found['first']:.4f}, best "
          f"{found['best']:.4f} {unit} on {found['windows']} selection windows")
    spoke = found["proposer"].get("record")
    if spoke:
        print(f"the language model: {spoke['answers']} answers, {spoke['validity']:.0%} valid, "
              f"{spoke['accepted']} of {spoke['wanted']} configurations its own, the rest by "
              "mutation")
    more = "" if options.round_to == 1 else f" --round-to {options.round_to}"
    more += "" if options.calibration is None else f" --calibration {options.calibration}"
    print(f"{out}/budget.json: neurosparse prune {options.model} --structured --budget "
          f"{out}/budget.json --metric {options.metric} --heads {options.heads} --compensate "
          f"{options.compensate}{more} --out FOLDER")
