"""The parts of the page, top to bottom; each is markup, or a line that says what is missing."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from neurosparse.budgets import Budget, Profile
from neurosparse.errors import InputError
from neurosparse.report import tables, theme
from neurosparse.report.figure_curves import curves, describe_curves
from neurosparse.report.figure_depth import depth, depth_errors, describe_depth
from neurosparse.report.figure_perplexity import describe_perplexity, perplexity
from neurosparse.report.figure_rates import describe_rates, rates
from neurosparse.report.markup import Markup, details, element, join
from neurosparse.report.reading import BUDGET, PROFILE, RUN, Evidence
from neurosparse.report.results import Results
from neurosparse.report.svg import inline


def section(key: str, title: str, *content: object) -> Markup:
    """A section with an anchor and a heading."""
    return element("section", element("h2", title, id=f"{key}-title"), *content, id=key,
                   aria_labelledby=f"{key}-title")


def _plot(key: str, draw: Callable[[float], Figure], alt: str) -> Markup:
    """The figure for a window and the one for a telephone; the style sheet shows one of them."""
    shapes = (("wide", theme.WIDE), ("narrow", theme.NARROW))
    return element("figure", *(
        element("div", Markup(inline(draw(width), name=f"{key}-{name}", alt=alt)), class_=name)
        for name, width in shapes
    ))


def _left_out(what: str, why: str) -> Markup:
    return element("p", f"{what} is left out: {why}.", class_="note missing")


def results_section(evidence: Evidence) -> Markup:
    """The table of rows."""
    results = evidence.results
    if not results.rows:
        why = "run.json holds no evaluated models" if evidence.run else f"there is no {RUN}"
        return section("results", "Results", _left_out("The table", why))
    content: list[object] = [tables.results_table(results.rows)]
    if any(row.prefill_tokens_per_s or row.decode_tokens_per_s for row in results.rows):
        loop = f" Loop: {results.loop}." if results.loop else ""
        said = f"Prefill reads a prompt, decode writes one token after another; medians.{loop}"
        content.append(element("p", said, class_="note"))
    return section("results", "Results", *content)


def perplexity_section(evidence: Evidence) -> Markup:
    """Perplexity and the paired difference."""
    title = "What it costs: perplexity"
    if evidence.run is None:
        return section("perplexity", title, _left_out("The figure", f"there is no {RUN}"))
    run = evidence.run
    try:
        said = describe_perplexity(evidence.results)
    except InputError as error:
        return section("perplexity", title, _left_out("The figure", error.found))
    content: list[object] = [
        element("p", said, _text_of(evidence.results)),
        _plot("perplexity", lambda width: perplexity(run, width=width), said),
    ]
    windows = tables.windows_table(evidence.results)
    if windows is not None:
        content.append(details("Numbers by window", windows))
    return section("perplexity", title, *content)


def _text_of(results: Results) -> str:
    text = results.text.get("report", {})
    if not text.get("name"):
        return ""
    windows = f", {text['windows']} windows" if text.get("windows") else ""
    length = f" of {text['length']} tokens" if text.get("length") else ""
    return f" Text: {text['name']}{windows}{length}."


def sizes_section(evidence: Evidence) -> Markup:
    """Sizes, each against the file as it came and against the dense forms."""
    title = "How small it is"
    sizes = evidence.results.sizes
    if not sizes:
        why = "run.json holds no sizes" if evidence.run else f"there is no {RUN}"
        return section("sizes", title, _left_out("The table", why))
    names = ", ".join(one.name for one in tables.references(sizes))
    said = f"Each form of the whole model, compared with: {names}."
    linears = tables.linears_sentence(sizes)
    return section("sizes", title, element("p", said), tables.sizes_table(sizes),
                   element("p", linears) if linears else "",
                   element("p", "1 MB is 10⁶ bytes.", class_="note"))


def rates_section(evidence: Evidence) -> Markup:
    """One figure for each budget of the file."""
    title = "What every part gives"
    if not evidence.budgets:
        return section("rates", title, _left_out("The figure", f"there is no {BUDGET}"))
    content: list[object] = []
    for number, budget in enumerate(evidence.budgets):
        content += _budget_parts(f"rates-{number}", budget, heading=len(evidence.budgets) > 1)
    return section("rates", title, *content)


def _budget_parts(key: str, budget: Budget, *, heading: bool) -> list[object]:
    said = describe_rates(budget)
    options = ", ".join(f"{name} {value}" for name, value in budget.rule.options.items()
                        if value is not None)
    rule = f" Rule: {budget.rule.name}" + (f" ({options})." if options else ".")
    parts: list[object] = [element("h3", budget.kind)] if heading else []
    return [*parts, element("p", said + rule),
            _plot(key, lambda width: rates(budget, width=width), said),
            details("Numbers by block", tables.rates_table(budget))]


def curves_section(evidence: Evidence) -> Markup:
    """Local error curves."""
    title = "What each part would lose by itself"
    profile = evidence.profile
    why = _without(profile, "curves", "local error curves")
    if profile is None or why:
        if profile is not None:
            why += (" (a run measures them where they take two forward passes at most; "
                    "neurosparse profile, always)")
        return section("curves", title, _left_out("The figure", why))
    budget = next((one for one in evidence.budgets if one.kind == "sparsity"), None)
    try:
        said = describe_curves(profile)
    except InputError as error:
        return section("curves", title, _left_out("The figure", error.found))
    lines = " Several targets of a role in a block (experts): their median." if len(
        profile.names) > len(set(zip(profile.block.tolist(), profile.roles, strict=True))) else ""
    dash = " Dashed: the role’s mean rate in this budget." if budget else ""
    return section(
        "curves", title,
        element("p", "Relative squared error of a linear’s output on the dense model’s inputs, "
                f"against its sparsity; darkest: first block. {said}{dash}{lines}"),
        _plot("curves", lambda width: curves(profile, budget=budget, width=width), said),
        details("Numbers by role", tables.curves_table(profile)),
    )


def depth_section(evidence: Evidence) -> Markup:
    """Error through depth."""
    title = "How the error travels"
    profile = evidence.profile
    why = _without(profile, "depth", "errors by block")
    if profile is None or why:
        return section("depth", title, _left_out("The figure", why))
    said = describe_depth(profile)
    return section(
        "depth", title,
        element("p", "The pruned model’s hidden state against the dense model’s after every block, "
                f"on calibration text: squared difference over squared norm. {said}"),
        _plot("depth", lambda width: depth(profile, width=width), said),
        details("Numbers by block", tables.depth_table(depth_errors(profile))),
    )


def _without(profile: Profile | None, part: str, name: str) -> str:
    if profile is None:
        return f"there is no {PROFILE}"
    return f"{PROFILE} holds no {name}" if getattr(profile, part) is None else ""


def sample_section(evidence: Evidence) -> Markup:
    """What the packed model writes."""
    sample = evidence.results.sample
    if sample is None or not (sample.prompt or sample.text):
        why = f"{RUN} holds none" if evidence.run else f"there is no {RUN}"
        return section("sample", "A sample of its text", _left_out("The sample", why))
    return section(
        "sample", "A sample of its text",
        element("p", "The packed model’s greedy continuation; the prompt is grey.", class_="note"),
        element("blockquote", element("span", sample.prompt, class_="prompt"), sample.text),
    )


def notes_section(notes: list[str]) -> Markup:
    """What the run wants the reader to know; empty where there is nothing."""
    if not notes:
        return Markup("")
    return section("notes", "Notes", element("ul", join(element("li", n) for n in notes),
                                             class_="notes"))
