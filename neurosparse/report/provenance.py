"""How a result was made: everything needed to make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from neurosparse.records import RunRecord
from neurosparse.report.markup import Markup, element, pairs
from neurosparse.report.numbers import duration, size
from neurosparse.report.reading import RUN, Evidence
from neurosparse.report.sections import section


def provenance_section(evidence: Evidence) -> Markup:
    """Texts, arguments, machine, timings, versions, identities."""
    run = evidence.run
    parts: list[object] = []
    if run is None:
        why = f"Arguments, machine and timings are left out: there is no {RUN}."
        parts.append(element("p", why, class_="note missing"))
    else:
        parts += _group("Timings", _timings(run))
        parts += _group("Machine", _machine(run))
        parts += _group("Arguments", _plain({**run.arguments, **_seeds(run)}))
        parts += _group("Versions", _plain(run.versions))
    for use, text in evidence.results.text.items():
        parts += _group(f"Text for {use}", _plain(text))
    if evidence.results.search:
        parts += _group("Search", _plain(evidence.results.search))
    profile = evidence.profile
    identity = profile.model if profile is not None and profile.model else None
    if identity is None:
        identity = next((budget.model.model_dump() for budget in evidence.budgets if budget.model),
                        None)
    if identity:
        parts += _group("Model", _plain(identity))
    return section("made", "How it was made", *parts)


def _group(title: str, rows: list[tuple[object, object]]) -> list[object]:
    return [element("h3", title), pairs(rows)] if rows else []


def _timings(run: RunRecord) -> list[tuple[object, object]]:
    rows: list[tuple[object, object]] = [(name, duration(spent))
                                         for name, spent in run.timings.items()]
    if len(rows) > 1:
        rows.append(("together", duration(sum(run.timings.values()))))
    return rows


def _machine(run: RunRecord) -> list[tuple[object, object]]:
    rows: list[tuple[object, object]] = []
    for name, value in run.machine.items():
        if name.endswith("_bytes") and isinstance(value, (int, float)):
            rows.append((_spoken(name.removesuffix("_bytes")), size(value)))
        else:
            rows.append((_spoken(name), spoken(value)))
    if run.level:
        rows.append(("instruction level of the kernels", run.level))
    if run.threads:
        rows.append(("threads", str(run.threads)))
    if run.peak_memory_bytes:
        rows.append(("peak memory of the whole run", size(run.peak_memory_bytes)))
    rows.append(("command", run.command))
    rows.append(("started", run.started))
    return rows


def _seeds(run: RunRecord) -> dict[str, Any]:
    return {f"seed of {name}": value for name, value in run.seeds.items()}


def _plain(values: Mapping[str, Any]) -> list[tuple[object, object]]:
    return [(_spoken(name), spoken(value)) for name, value in values.items()]


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def spoken(value: Any) -> str:
    """A value of a record as a reader says it.

    Examples
    --------
    >>> spoken(None), spoken(True), spoken(["a", "b"]), spoken([]), spoken(0.5), spoken({"a": 1})
    ('not given', 'yes', 'a, b', 'none', '0.5', '{"a": 1}')
    """
    if value is None or value == "":
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        if not value:
            return "none"
        if all(isinstance(one, (str, int, float)) for one in value):
            return ", ".join(str(one) for one in value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
