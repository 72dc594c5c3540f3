"""What the documentation shows is what the library takes."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from neurosparse.budgets import Budget

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not beside the tests")


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in FENCE.findall(page.read_text(encoding="utf-8"))
            if name == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_of_the_documentation_names_things_that_exist(page: Path) -> None:
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neurosparse."):
                room = (ROOT / str(node.module).replace(".", "/")).with_suffix(".py")
                assert room.is_file() or room.with_suffix("").is_dir(), node.module
            # ns.room.name: read from the room's source, so that no torch is needed here.
            if (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
                    and isinstance(node.value.value, ast.Name) and node.value.value.id == "ns"):
                room = ROOT / "neurosparse" / node.value.attr / "__init__.py"
                assert f'"{node.attr}"' in room.read_text(encoding="utf-8"), ast.unparse(node)


def test_the_budget_of_the_format_page_is_a_budget(tmp_path: Path) -> None:
    first, second, *_ = blocks(ROOT / "docs" / "budget-format.md", "json")
    (tmp_path / "budget.json").write_text(first, encoding="utf-8")
    budget = Budget.read(tmp_path / "budget.json")
    assert budget.mean() == pytest.approx(budget.total.kept, abs=1e-12)
    assert [one["kind"] for one in json.loads(second)["budgets"]] == ["sparsity", "tokens"]


def test_the_page_of_the_figures_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.parent)
    names: dict[str, Any] = {}
    for text in blocks(ROOT / "docs" / "report.md", "python"):
        exec(compile(text, "docs/report.md", "exec"), names)
    decide = next(text for text in blocks(ROOT / "docs" / "quickstart.md", "python")
                  if "half.json" in text)
    exec(compile(decide, "docs/quickstart.md", "exec"), {})
    assert Budget.read("half.json").total.kept == pytest.approx(0.5, abs=1e-12)
    assert all(Path(name).stat().st_size > 1000
               for name in ("curves.pdf", "perplexity.png", "rates.svg"))


def test_every_room_of_the_documentation_is_a_module() -> None:
    for page in (ROOT / "docs" / "api").glob("*.md"):
        for name in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8")):
            assert importlib.util.find_spec(name) is not None, name
