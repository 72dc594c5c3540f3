"""Budget and profile files: whole round trips, and refusal of everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.budgets import (
    Budget,
    Curves,
    Profile,
    allocate,
    arithmetic,
    check_budget,
    read_budgets,
)
from neurosparse.errors import BudgetError, FormatError, InputError


def _profile() -> Profile:
    return Profile(
        names=["m.0.q", "m.0.v", "m.1.q"], sizes=np.array([6, 8, 6]), block=np.array([0, 0, 1]),
        roles=["q", "v", "q"], norms=np.array([1.0, 2.0, 3.0]),
        curves=Curves(np.array([0.5, 0.7]), np.array([[0.1, 0.2], [0.1, 0.3], [0, 0.1]]), "wanda"),
        depth=np.array([0.01, 0.02]), model={"name": "toy", "sha256": "ab"},
        calibration={"name": "text", "windows": 3},
        evidence={"propagation": {"damage": np.arange(6.0).reshape(3, 2)}},
    )


@given(st.integers(1, 40), st.floats(0.05, 0.95))
def test_counts_add_up_to_the_total(layers: int, sparsity: float) -> None:
    budget = arithmetic(layers, sparsity, 0.0, sizes=[97 + 13 * i for i in range(layers)])
    total = sum(97 + 13 * i for i in range(layers))
    # Nearest whole number; at a half either neighbour is (sparsity * total may be off by an ulp).
    assert abs(sum(budget.counts().values()) - sparsity * total) <= 0.5 + 1e-9


def test_budget_round_trip(tmp_path: Path) -> None:
    budget = allocate(_profile(), 0.6)
    budget.write(tmp_path / "budget.json")
    assert Budget.read(tmp_path / "budget.json") == budget
    raw = json.loads((tmp_path / "budget.json").read_text())
    assert raw["format"] == "neurosparse.budget" and raw["version"] == 1
    assert budget.rate_of("m.0.v") == pytest.approx(0.6)
    with pytest.raises(BudgetError):
        budget.rate_of("m.9.v")


def test_several_budgets_in_one_file(tmp_path: Path) -> None:
    one = allocate(_profile(), 0.6).as_dict()
    two = one | {"kind": "rank"}
    (tmp_path / "b.json").write_text(json.dumps({"budgets": [one, two]}))
    assert len(read_budgets(tmp_path / "b.json")) == 2
    assert Budget.read(tmp_path / "b.json", kind="rank").kind == "rank"
    with pytest.raises(FormatError, match="2 budgets"):
        Budget.read(tmp_path / "b.json")


@pytest.mark.parametrize("change", [
    {"version": 2}, {"format": "x"}, {"kind": "colour"}, {"surprise": 1}, {"targets": []},
    {"total": {"asked": 0.6, "kept": 0.61, "weight": "parameters"}},
    {"targets": [{"name": "a", "size": 5, "value": 1.2}]},
    {"targets": [{"name": "a", "size": 0, "value": 0.6}]},
    {"targets": [{"name": "a", "size": 5, "value": 0.6}] * 2},
    {"total": {"asked": 0.6, "kept": float("nan")}},
    {"total": {"asked": float("inf"), "kept": 0.6}},
    {"targets": [{"name": "a", "size": 10**30, "value": 0.6}]},
    *({"kind": kind, "total": {"asked": value, "kept": value},
       "targets": [{"name": "a", "size": 5, "value": value}]}
      for kind, value in (("heads", -3.7), ("tokens", float("nan")), ("bits", float("-inf")))),
    {"kind": "rank", "total": {"asked": 0.6, "kept": 0.7}},
])
def test_wrong_budgets_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    raw = allocate(_profile(), 0.6).as_dict() | change
    (tmp_path / "b.json").write_text(json.dumps(raw))
    with pytest.raises(FormatError):
        Budget.read(tmp_path / "b.json")


def test_tokens_of_frames_add_up_and_others_have_a_mean(tmp_path: Path) -> None:
    raw = allocate(_profile(), 0.6).as_dict() | {
        "targets": [{"name": f"frame.{i}", "size": 8 + i, "value": 4.0} for i in range(2)]}
    for kind, kept in (("tokens", 8.0), ("tokens", 4.0), ("heads", 4.0)):
        changed = raw | {"kind": kind, "total": {"asked": 4.0, "kept": kept}}
        (tmp_path / "b.json").write_text(json.dumps(changed))
        assert Budget.read(tmp_path / "b.json").total.kept == kept
    (tmp_path / "b.json").write_text(json.dumps(changed | {"total": {"asked": 4, "kept": 8}}))
    with pytest.raises(FormatError, match="mean is 4"):
        Budget.read(tmp_path / "b.json")


@pytest.mark.parametrize(("text", "said"), [
    ('{"budgets": null}', "list"), ('{"budgets": {"a": 1}}', "list"), ('{"budgets": 5}', "list"),
    ("[" * 100_000, "deeply")])
def test_files_that_hold_no_list(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(FormatError, match=said):
        read_budgets(tmp_path / "b.json")


def test_absent_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Budget.read(tmp_path / "none.json")
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(FormatError):
        Budget.read(tmp_path / "b.json")
    with pytest.raises(InputError, match="no such file"):
        Profile.read(tmp_path / "none.h5")
    (tmp_path / "p.h5").write_bytes(b"not hdf5")
    with pytest.raises(FormatError):
        Profile.read(tmp_path / "p.h5")


def test_profile_round_trip(tmp_path: Path) -> None:
    profile = _profile()
    profile.write(tmp_path / "p.h5")
    found = Profile.read(tmp_path / "p.h5")
    assert found.sha256 == profile.sha256
    assert found.names == profile.names and found.roles == profile.roles
    assert found.curves is not None and found.depth is not None
    assert np.array_equal(found.curves.error, profile.curves.error)  # type: ignore[union-attr]
    assert np.array_equal(found.depth, profile.depth)  # type: ignore[arg-type]
    assert np.array_equal(found.evidence["propagation"]["damage"],
                          profile.evidence["propagation"]["damage"])


def test_profile_hash_sees_every_measured_number() -> None:
    hashes = {_profile().sha256}
    for change in ("sizes", "block", "norms"):
        other = _profile()
        setattr(other, change, getattr(other, change) + 1)
        hashes.add(other.sha256)
    other = _profile()
    assert other.curves is not None
    other.curves.error[0, 0] += 1e-9
    hashes.add(other.sha256)
    assert len(hashes) == 5


def test_profile_hash_sees_names_and_shapes_and_not_what_the_budget_did() -> None:
    numbers = np.arange(6.0)
    hashes = set()
    for rule, name, shape in (("a", "x", (2, 3)), ("b", "x", (2, 3)), ("a", "y", (2, 3)),
                              ("a", "x", (3, 2))):
        other = _profile()
        other.evidence = {rule: {name: numbers.reshape(shape)}}
        hashes.add(other.sha256)
        other.depth = None  # joins the profile after the budget
        assert other.sha256 in hashes
    assert len(hashes) == 4


def test_budgets_from_before_fit_their_profile() -> None:
    profile = _profile()
    # Written out: what a released version computed for this profile.
    old = "f8db9109b0d381ecd674d69d6cbdf922a8f868aec5644a1fb0e6dbea33b0fcf6"
    assert profile.old_sha256 == old != profile.sha256
    budget = allocate(profile, 0.6)
    for made_from in (old, profile.sha256):
        rule = budget.rule.model_copy(update={"profile_sha256": made_from})
        check_budget(budget.model_copy(update={"rule": rule}), profile=profile)
    profile.norms = profile.norms + 1
    with pytest.raises(BudgetError, match="decided from"):
        check_budget(budget, profile=profile)


def _replace(path: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if path.startswith("@"):
            file.attrs[path[1:]] = value
            return
        if path in file:
            del file[path]
        file[path] = value
    return change


@pytest.mark.parametrize("change", [
    _replace("@version", "x"), _replace("@model", 3), _replace("@model", "[1]"),
    _replace("@calibration", "{"), _replace("targets", np.ones(3)), _replace("evidence", 1.0),
    _replace("evidence/propagation/z", 3.0), _replace("targets/name", np.ones(3)),
    _replace("targets/size", np.ones(3)), _replace("targets/block", ["a", "b", "c"]),
    _replace("targets/norm", ["a", "b", "c"]), _replace("curves", np.ones(2))])
def test_damaged_profiles_are_refused(change: Callable[[h5py.File], None], tmp_path: Path) -> None:
    _profile().write(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        change(file)
    with pytest.raises(FormatError, match=r"found [^\n]+; expected [^\n]+$"):
        Profile.read(tmp_path / "p.h5")


def test_profile_without_the_later_parts(tmp_path: Path) -> None:
    profile = _profile()
    profile.curves = profile.depth = None
    profile.evidence = {}
    profile.write(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5") as file:
        assert set(file) == {"targets"}
    found = Profile.read(tmp_path / "p.h5")
    assert found.curves is None and found.depth is None and found.evidence == {}


def test_profile_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    _profile().write(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        file.attrs["version"] = 9
    with pytest.raises(FormatError, match="version"):
        Profile.read(tmp_path / "p.h5")


def test_columns_must_agree() -> None:
    with pytest.raises(InputError, match="lengths"):
        Profile(["a"], np.array([1, 2]), np.array([0]), ["q"], np.array([1.0]))
