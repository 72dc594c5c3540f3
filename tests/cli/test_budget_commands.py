"""profile, allocate, prune: the way of a user, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_text, write_tiny

import neurosparse as ns
from neurosparse.cli.app import app


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("budget")
    write_tiny(folder / "m")
    write_tiny(folder / "other", blocks=2)
    (folder / "t.txt").write_text(tiny_text())
    return folder


def _run(*words: object) -> None:
    app([str(word) for word in words], standalone_mode=False)


def _profile(place: Path, model: str = "m", out: str = "p.h5", *words: object) -> Path:
    _run("profile", place / model, "--calibration", place / "t.txt", "--windows", 4,
         "--window-length", 32, "--out", place / out, "--overwrite", "--progress", "none", *words)
    return place / out


def test_profile_allocate_prune(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _profile(place, "m", "p.h5", "--rule", "propagation", "--rule", "owl", "--up-to", 0.6)
    said = capsys.readouterr().out
    assert "forward passes" in said and "evidence owl, propagation" in said
    _run("allocate", place / "p.h5", "--sparsity", 0.6, "--explain", "--out", place / "b.json")
    assert "ln marginal damage" in capsys.readouterr().out
    record = ns.records.RunRecord.read(place / "p.run.json")
    assert record.arguments["evidence"] == ["propagation", "owl"] and record.timings["profile"] > 0
    assert record.data["calibration"]["windows"] == 4
    record = ns.records.RunRecord.read(place / "b.run.json")
    assert record.arguments["rule"] == "propagation" and record.results == {"sparsity": 0.6}
    _run("prune", place / "m", "--budget", place / "b.json", "--out", place / "packed",
         "--calibration", place / "t.txt", "--windows", 2, "--window-length", 32,
         "--progress", "none")
    assert "(59.99" in capsys.readouterr().out
    record = ns.records.RunRecord.read(place / "packed" / "run.json")
    assert record.command == "prune" and record.arguments["budget"].endswith("b.json")
    assert record.results["sparsity"] == pytest.approx(0.6, abs=1e-3)
    assert {"load", "prune", "save"} <= set(record.timings) and record.data["calibration"]
    model = ns.sparse.load(place / "packed")
    assert torch.isfinite(model(input_ids=torch.tensor([[3, 4, 5]])).logits).all()
    capsys.readouterr()
    distances = []
    for more in (["--method", "sparsegpt"], ["--method", "sparsegpt", "--refit", 0.3]):
        _run("allocate", place / "p.h5", "--sparsity", 0.65, *more, "--overwrite", "--out",
             place / "c.json")
        rates = [target.value for target in ns.budgets.Budget.read(place / "c.json").targets]
        distances.append([rate - 0.65 for rate in rates])
    assert distances[1] == pytest.approx([0.75 * one for one in distances[0]], abs=1e-6)


def test_prune_stores_groups_and_refuses_them_before_it_works(place: Path) -> None:
    _profile(place, "m", "g.h5", "--evidence", "shapes")
    _run("allocate", place / "g.h5", "--sparsity", 0.6, "--rule", "uniform", "--out",
         place / "g.json")
    more = ["prune", place / "m", "--budget", place / "g.json", "--out", place / "grouped",
            "--calibration", place / "t.txt", "--windows", 2, "--window-length", 32, "--progress",
            "none"]
    for wrong, said in ((["--group", 64], "values int8 or int4"),
                        (["--values", "int4", "--group", 48], "32, 64, 128, 256"),
                        (["--values", "int5"], "one of bf16")):
        with pytest.raises(ns.errors.InputError, match=said):
            _run(*more, *wrong)
    with pytest.raises(ns.errors.InputError, match="--group 32 with --structured"):
        _run(*more, "--structured", "--group", 32)
    assert not (place / "grouped").exists()
    _run(*more, "--values", "int4", "--group", 32)
    model = ns.sparse.load(place / "grouped")
    assert model.config.quantization_config.group == 32
    packed = [m.packed() for m in model.modules() if isinstance(m, ns.sparse.SparseLinear)]
    assert packed and all(one.kind.name == "int4" and one.has_groups(32) for one in packed)


def test_allocate_takes_options_bounds_bits_and_multiples(place: Path,
                                                          capsys: pytest.CaptureFixture[str]
                                                          ) -> None:
    _profile(place, "m", "q.h5", "--evidence", "owl")
    _run("allocate", place / "q.h5", "--bits", 9, "--rule", "owl", "--option", "width=0.1",
         "--upper", "*.down_proj=0.4", "--out", place / "q.json", "--json")
    text = capsys.readouterr().out
    found = json.loads(text[text.index("{"):])
    assert found["total"]["asked"] == 0.5 and found["rule"]["options"] == {"width": 0.1}
    assert all(t["value"] <= 0.4 for t in found["targets"] if "down_proj" in t["name"])
    _run("allocate", place / "q.h5", "--sparsity", 0.5, "--rule", "owl", "--multiple", 8, "--out",
         place / "q.json", "--overwrite")
    budget = ns.budgets.Budget.read(place / "q.json")
    assert all((8 * target.value) == int(8 * target.value) for target in budget.targets)
    _run("allocate", place / "q.h5", "--sparsity", 0.5, "--rule", "owl", "--option",
         "outlier_multiple=7", "--out", place / "q.json", "--overwrite")
    assert ns.budgets.Budget.read(place / "q.json").rule.options == {"outlier_multiple": 7}
    with pytest.raises(ns.errors.BudgetError, match="outlier_multiple"):
        _run("allocate", place / "q.h5", "--sparsity", 0.5, "--rule", "owl", "--option",
             "multiple=7", "--out", place / "q.json", "--overwrite")


def test_wrong_inputs_are_named(place: Path) -> None:
    _profile(place, "m", "r.h5", "--evidence", "shapes")
    with pytest.raises(ns.errors.BudgetError, match="owl"):
        _run("allocate", place / "r.h5", "--sparsity", 0.5, "--rule", "owl")
    with pytest.raises(ns.errors.BudgetError, match="one of"):
        _run("allocate", place / "r.h5", "--rule", "er")
    with pytest.raises(ns.errors.InputError, match="NAME=VALUE"):
        _run("allocate", place / "r.h5", "--sparsity", 0.5, "--option", "width")
    with pytest.raises(ns.errors.InputError, match="exists"):
        _run("profile", place / "m", "--out", place / "r.h5", "--rule", "owl")
    with pytest.raises(ns.errors.InputError, match="nothing"):
        _run("profile", place / "m", "--rule", "uniform", "--out", place / "n.h5")
    _run("allocate", place / "r.h5", "--sparsity", 0.5, "--rule", "er", "--out", place / "r.json")
    with pytest.raises(ns.errors.BudgetError, match="force"):
        _run("prune", place / "other", "--budget", place / "r.json", "--out", place / "no",
             "--calibration", place / "t.txt")
    assert not (place / "no").exists()


def test_a_budget_is_replaced_only_when_asked(place: Path) -> None:
    """It may have been edited by hand."""
    _profile(place, "m", "o.h5", "--evidence", "shapes")
    words = ["allocate", place / "o.h5", "--sparsity", 0.5, "--rule", "er", "--out",
             place / "o.json"]
    _run(*words)
    (place / "o.json").write_text("mine")
    before = (place / "o.run.json").read_bytes()
    with pytest.raises(ns.errors.InputError, match="--overwrite"):
        _run(*words)
    assert (place / "o.json").read_text() == "mine"
    assert (place / "o.run.json").read_bytes() == before
    _run(*words, "--overwrite")
    assert ns.budgets.Budget.read(place / "o.json").rule.name == "er"


def test_an_exclude_that_fits_nothing_is_refused(place: Path) -> None:
    with pytest.raises(ns.errors.InputError, match=r"'\*\.downproj', which fits no target"):
        _profile(place, "m", "x.h5", "--evidence", "shapes", "--exclude", "*.downproj")
    assert not (place / "x.h5").exists()


def test_dry_run_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run("profile", place / "m", "--dry-run", "--out", place / "dry.h5")
    assert "6 forward passes" in capsys.readouterr().out and not (place / "dry.h5").exists()
