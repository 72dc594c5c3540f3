"""What a figure draws is what its file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from neurosparse import report
from neurosparse.budgets import Budget, Profile
from neurosparse.errors import InputError
from neurosparse.records import RunRecord
from neurosparse.report.grouping import role_of
from neurosparse.report.theme import NARROW, WIDE


def lines(axes: Axes, gid: str) -> list[Line2D]:
    return [line for line in axes.get_lines() if str(line.get_gid()).startswith(gid)]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_rates_of_different_roles_are_drawn_one_by_one(tmp_path: Path, files: Any, width: float
                                                       ) -> None:
    files.budget(tmp_path / "budget.json", rule="by role")
    budget = Budget.read(tmp_path / "budget.json")
    left = report.rates(budget, width=width).axes[0]
    drawn = lines(left, "role")
    assert len(drawn) == 7
    for line in drawn:
        mine = [t.value for t in budget.targets if role_of(t.name) == line.get_label()]
        assert np.array_equal(line.get_ydata(), mine)
        assert np.array_equal(line.get_xdata(), np.arange(30))
    (mean,) = lines(left, "mean")
    assert np.allclose(mean.get_ydata(), budget.mean(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("rule", ["uniform", "arithmetic"])
def test_equal_roles_share_one_line_so_that_none_is_hidden(tmp_path: Path, files: Any, rule: str
                                                           ) -> None:
    files.budget(tmp_path / "budget.json", rule=rule)
    budget = Budget.read(tmp_path / "budget.json")
    (line,) = lines(report.rates(budget).axes[0], "role")
    assert line.get_label() == "all 7 roles"
    assert np.array_equal(line.get_ydata(), [t.value for t in budget.targets[::7]])


def test_bars_of_the_second_panel_are_the_weights_kept_and_removed(tmp_path: Path, files: Any
                                                                   ) -> None:
    files.budget(tmp_path / "budget.json", rule="by role")
    budget = Budget.read(tmp_path / "budget.json")
    right = report.rates(budget).axes[1]
    widths = np.array([bar.get_width() for bar in right.patches]).reshape(2, 7) * 1e6
    sizes, gone = budget.sizes.reshape(30, 7), (budget.sizes * budget.rates).reshape(30, 7)
    assert np.allclose(widths[1], gone.sum(0), rtol=1e-12)
    assert np.allclose(widths.sum(0), sizes.sum(0), rtol=1e-12)


def experts(values: list[float]) -> Budget:
    names = [f"model.layers.{b}.mlp.experts.gate_up_proj#{e}" for b in range(2) for e in range(2)]
    sizes = [10, 30, 10, 30]
    return Budget.model_validate({
        "rule": {"name": "uniform"},
        "total": {"asked": 0.5, "kept": float(np.average(values, weights=sizes))},
        "targets": [{"name": n, "size": s, "value": v}
                    for n, s, v in zip(names, sizes, values, strict=True)]})


def test_experts_of_a_block_are_their_mean_by_size() -> None:
    (line,) = lines(report.rates(experts([0.2, 0.6, 0.4, 0.4])).axes[0], "role")
    assert np.allclose(line.get_ydata(), [0.5, 0.4])
    assert line.get_label() == "gate_up_proj"


def test_a_budget_of_another_kind_has_no_panel_of_weights() -> None:
    budget = Budget.model_validate({
        "kind": "rank", "rule": {"name": "r"}, "total": {"asked": 8, "kept": 8},
        "targets": [{"name": "head", "size": 4, "value": 6},
                    {"name": "tail", "size": 4, "value": 10}],
    })
    (axes,) = report.rates(budget).axes
    assert [list(line.get_ydata()) for line in lines(axes, "role")] == [[6], [10]]


def test_curves_are_the_file_s_and_coloured_by_block(finished: Path, files: Any) -> None:
    profile = Profile.read(finished / "profile.h5")
    figure = report.curves(profile, budget=Budget.read(finished / "budget.json"))
    expected = files.curve_errors().reshape(30, 7, 9)
    panels = figure.axes[:7]
    assert [axes.get_title(loc="left") for axes in panels] == profile.roles[:7]
    for role, axes in enumerate(panels):
        drawn = lines(axes, "block")
        assert axes.get_yscale() == "log"
        assert np.array_equal([line.get_ydata() for line in drawn], expected[:, role])
        assert all(np.array_equal(line.get_xdata(), files.levels) for line in drawn)
        colours = [to_hex(line.get_color()) for line in drawn]
        assert colours == [to_hex(line.get_color()) for line in lines(panels[0], "block")]
        (rate,) = lines(axes, "rate")
        assert np.allclose(rate.get_xdata(), 0.6)
    assert len(figure.axes[7].patches) == 30


def test_a_curve_of_nan_is_left_out_and_a_zero_does_not_break_the_axis(finished: Path) -> None:
    profile = Profile.read(finished / "profile.h5")
    assert profile.curves is not None
    profile.curves.error[0] = np.nan
    profile.curves.error[7, 0] = 0.0
    axes = report.curves(profile).axes[0]
    drawn = lines(axes, "block")
    assert len(drawn) == 29 and drawn[0].get_gid() == "block 1"
    assert axes.get_ylim()[0] > 0


def test_depth_is_the_file_s(finished: Path, files: Any) -> None:
    (axes,) = report.depth(Profile.read(finished / "profile.h5")).axes
    (line,) = lines(axes, "error")
    assert np.array_equal(line.get_ydata(), files.depth_errors())
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("error", [[0.0, 0.0, 0.0], [0.25], [0.0, 0.1]])
def test_depth_of_little_or_nothing(finished: Path, error: list[float]) -> None:
    profile = Profile.read(finished / "profile.h5")
    profile.depth = np.array(error)
    figure = report.depth(profile)
    figure.draw_without_rendering()
    assert np.array_equal(lines(figure.axes[0], "error")[0].get_ydata(), error)


def test_perplexity_and_its_errors_are_the_record_s(finished: Path) -> None:
    run = RunRecord.read(finished / "run.json")
    left, right = report.perplexity(run).axes
    rows = [row for row in run.results["rows"] if row["perplexity"] is not None]
    for row, bar in zip(rows, left.containers, strict=True):
        point, _, (whisker,) = bar.lines
        assert list(point.get_xdata()) == [row["perplexity"]]
        (segment,) = whisker.get_segments()
        assert np.ptp(segment[:, 0]) == pytest.approx(2 * row["perplexity_stderr"], rel=1e-12)
    (windows,) = lines(right, "windows")
    gap = np.subtract(rows[1]["nll_by_window"], rows[0]["nll_by_window"])
    assert np.array_equal(windows.get_ydata(), gap)
    (mean,) = lines(right, "mean")
    assert set(mean.get_ydata()) == {run.results["paired"]["difference"]}
    assert gap.mean() == pytest.approx(run.results["paired"]["difference"])


@pytest.mark.parametrize("left_out", ["nll_by_window", "perplexity_stderr"])
def test_perplexity_with_less_to_draw(finished: Path, left_out: str) -> None:
    record = json.loads((finished / "run.json").read_text())
    for row in record["results"]["rows"]:
        del row[left_out]
    (finished / "run.json").write_text(json.dumps(record))
    axes = report.perplexity(RunRecord.read(finished / "run.json")).axes
    assert len(axes) == (1 if left_out == "nll_by_window" else 2)


def test_what_is_not_there_is_refused(finished: Path, files: Any) -> None:
    files.profile(finished / "profile.h5", curves=False, depth=False)
    profile = Profile.read(finished / "profile.h5")
    for draw in (report.curves, report.depth):
        with pytest.raises(InputError, match="profile without"):
            draw(profile)
    with pytest.raises(InputError, match="no row"):
        report.perplexity(RunRecord("compress"))


def test_drawing_leaves_matplotlib_as_it_was(finished: Path) -> None:
    with matplotlib.rc_context({"font.size": 31.0, "text.parse_math": True}):
        before = dict(matplotlib.rcParams)
        figure = report.depth(Profile.read(finished / "profile.h5"))
        assert dict(matplotlib.rcParams) == before
        # A user's own settings do not leak into the page.
        assert figure.axes[0].xaxis.label.get_fontsize() == 9.0
