"""The page as a whole: self-contained, escaped, repeatable, honest about what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import pytest

from neurosparse import report
from neurosparse.errors import FormatError, InputError

VOID = {"meta", "br", "hr", "img", "input", "link"}
ALL = ("run.json", "budget.json", "profile.h5")


class Tree(HTMLParser):
    """Checks that every element is closed in order; keeps tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def written(folder: Path) -> tuple[str, Tree]:
    page = report.write(folder).read_text(encoding="utf-8")
    return page, Tree(page)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, files: Any) -> tuple[str, Tree]:
    """The page of the usual files, for tests that only read it."""
    folder = tmp_path_factory.mktemp("usual")
    files.budget(folder / "budget.json")
    files.profile(folder / "profile.h5")
    files.run(folder / "run.json")
    return written(folder)


def test_the_page_holds_every_part(usual: tuple[str, Tree]) -> None:
    _, tree = usual
    assert {section["id"] for section in tree.all("section")} == {
        "results", "perplexity", "sizes", "rates", "curves", "depth", "sample", "notes", "made"}
    assert len(tree.all("svg")) == 8  # four figures, each for a wide and a narrow window
    assert not [one for one in tree.all("p") if one.get("class") == "note missing"]
    for said in ("smollm2", "60.0 %", "1.907 ± 0.013 nats a token", "2.36× smaller", "avx512vbmi2",
                 "1 min 22 s", "wiki.txt was split", "It begins with the counting of things"):
        assert said in tree.text, said


def test_sizes_and_speeds_say_than_what(usual: tuple[str, Tree]) -> None:
    page, tree = usual
    for column in ("than as it came (GGUF Q4_1)", "than dense bf16", "than dense int8"):
        assert f'<th scope="col">{column}</th>' in page
    # 269060552 / 156800000, 156800000 / 98400000, 98.2 / 212.33664, 38.6 / 31.2
    for said in ("1.72× smaller than dense bf16", "1.59× larger than as it came (GGUF Q4_1)",
                 "packed bf16 takes 0.462 of dense bf16 (98.2 MB of 212 MB)",
                 "1.24× the speed of the fastest dense (dense bf16, 31.2)"):
        assert said in tree.text
    assert tree.text.count("counted exactly, not written") == 2


def test_nothing_outside_is_asked_for_and_nothing_runs(usual: tuple[str, Tree]) -> None:
    page, tree = usual
    assert "//" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", page) and "@import" not in page
    assert not tree.all("script") and not tree.all("link") and not tree.all("img")
    for _, attributes in tree.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "xlink:href", "src"):
            assert (attributes.get(name) or "#").startswith("#")


def test_references_inside_the_page_resolve_and_ids_are_unique(usual: tuple[str, Tree]) -> None:
    page, tree = usual
    ids = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'(?:href="|url\()#([\w-]+)', page))
    wanted |= {str(one["aria-labelledby"]) for one in tree.all("section")}
    assert wanted <= set(ids)


def test_it_can_be_read_without_seeing_it(usual: tuple[str, Tree]) -> None:
    page, tree = usual
    assert tree.all("html")[0]["lang"] == "en" and len(tree.all("h1")) == 1
    for svg in tree.all("svg"):
        assert svg["role"] == "img" and len(svg["aria-label"] or "") > 30
    assert len(tree.all("caption")) == len(tree.all("table"))
    assert all(header.get("scope") in ("row", "col") for header in tree.all("th"))
    assert page.count("<table") >= 6


def test_hostile_names_stay_text(finished_few: Path, files: Any) -> None:
    bad = '<script>alert("1")</script> & $\\frac{1}{0}$ {x}'

    def change(record: dict[str, Any]) -> None:
        results = record["results"]
        results["model"] = results["method"] = bad
        results["sample"] = {"prompt": bad, "text": bad}
        results["notes"] = [bad]
        results["rows"][0]["name"] = results["sizes"][0]["name"] = bad
        record["arguments"] = {bad: bad}
        record["machine"] = {bad: [bad, {bad: bad}]}

    files.run(finished_few / "run.json", change)
    with h5py.File(finished_few / "profile.h5", "a") as file:
        file["targets/role"][0::2] = bad
    page, tree = written(finished_few)
    assert not tree.all("script") and "<script" not in page
    assert tree.text.count('<script>alert("1")</script>') > 8


@pytest.mark.slow
def test_equal_files_give_equal_bytes_without_torch_and_pyplot(
        usual: tuple[str, Tree], finished: Path) -> None:
    script = (
        "import sys; from neurosparse import report; "
        f"report.write({str(finished)!r}); "
        "found = [n for n in ('torch', 'transformers', 'matplotlib.pyplot') if n in sys.modules]; "
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    # Another process has another hash seed, another memory layout, another moment.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert usual[0].encode() == (finished / "report.html").read_bytes()


@pytest.mark.parametrize("missing", ALL)
def test_a_missing_file_leaves_its_parts_out_and_the_page_says_so(finished_few: Path,
                                                                  missing: str) -> None:
    (finished_few / missing).unlink()
    _, tree = written(finished_few)
    assert f"there is no {missing}" in tree.text
    assert len(tree.all("svg")) == {"run.json": 6, "budget.json": 6, "profile.h5": 4}[missing]
    assert tree.all("h1") and "smollm2" in tree.text


@pytest.mark.parametrize("group", ["curves", "depth"])
def test_a_profile_without_a_group(finished_few: Path, files: Any, group: str) -> None:
    files.profile(finished_few / "profile.h5", roles=files.few, **{group: False})
    _, tree = written(finished_few)
    assert len(tree.all("svg")) == 6 and "profile.h5 holds no" in tree.text


def test_a_record_of_another_command_is_no_fault(finished_few: Path, files: Any) -> None:
    files.run(finished_few / "run.json", lambda record: record.update(results={"perplexity": 12.0}))
    _, tree = written(finished_few)
    assert "run.json holds no evaluated models" in tree.text


def test_an_infinite_perplexity_is_said_and_not_drawn(finished_few: Path, files: Any) -> None:
    def change(record: dict[str, Any]) -> None:
        record["results"]["rows"][2].update(perplexity=float("inf"),
                                            perplexity_stderr=float("nan"))

    files.run(finished_few / "run.json", change)
    _, tree = written(finished_few)
    assert "∞" in tree.text and len(tree.all("svg")) == 8


def test_no_folder_and_an_empty_folder(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=re.escape(str(folder))):
            report.write(folder)
    assert not list(tmp_path.iterdir())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("damage", [
    truncate,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"\xff\x00 nonsense"),
    lambda path: path.write_text("[]"),
    lambda path: path.write_text('{"format": "another"}'),
], ids=["truncated", "empty", "nonsense", "a list", "another format"])
def test_a_broken_file_is_named_and_nothing_is_written(finished: Path, name: str, damage: Any
                                                       ) -> None:
    damage(finished / name)
    with pytest.raises(FormatError, match=re.escape(name)):
        report.write(finished)
    assert not (finished / "report.html").exists()


@pytest.mark.parametrize(("place", "value", "named"), [
    ("rows", [{"name": "dense", "perplexity": "high"}], r"results.rows.0.perplexity"),
    ("rows", {}, r"results.rows"),
    ("sizes", [{"name": "dense bf16", "bytes": 0}], r"results.sizes.0.bytes"),
    ("sample", "text", r"results.sample"),
])
def test_a_wrong_result_is_named_by_its_place(finished: Path, files: Any, place: str, value: Any,
                                              named: str) -> None:
    files.run(finished / "run.json", lambda record: record["results"].update({place: value}))
    with pytest.raises(FormatError, match=named):
        report.write(finished)


@pytest.mark.parametrize(("name", "value"), [
    ("targets/block", None), ("targets/block", [0, 1]), ("targets/role", [1]),
    ("curves/error", [1.0]), ("depth/relative_error", [[0.5]]), ("depth/relative_error", ["a"]),
])
def test_a_wrong_profile_is_a_format_error(finished: Path, name: str, value: Any) -> None:
    with h5py.File(finished / "profile.h5", "a") as file:
        del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(FormatError, match=r"profile\.h5"):
        report.write(finished)


def test_an_unknown_version_of_a_profile_is_refused(finished: Path) -> None:
    with h5py.File(finished / "profile.h5", "a") as file:
        file.attrs["version"] = 2
    with pytest.raises(FormatError, match="version"):
        report.write(finished)
