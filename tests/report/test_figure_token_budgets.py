"""What the figure of token budgets draws is what it is given."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.report import theme, token_budgets
from neurosparse.report.figure_token_budgets import describe_token_budgets

ROWS = {"even": {25: np.array([0.25, 0.5]), 100: np.array([0.5, 0.75])},
        "by score": {25: np.array([0.75, 0.75]), 100: np.array([1.0, 0.5])},
        "planted 1/0": {25: np.array([1.0, 1.0]), 100: np.array([1.0, 1.0])},
        "all tokens": {600: np.array([0.5, 1.0])}}


@pytest.mark.parametrize("width", [theme.WIDE, theme.NARROW])
def test_means_and_errors_are_drawn(width: float) -> None:
    figure = token_budgets(ROWS, ("even",), width=width)
    first, second = figure.axes
    drawn = {bars.get_label(): bars for bars in first.containers}
    assert set(drawn) == {"even", "by score"}
    for name, bars in drawn.items():
        line, _, (errors,) = bars.lines
        tokens = sorted(ROWS[name])
        assert line.get_xdata().tolist() == tokens
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float),
                                   [ROWS[name][t].mean() for t in tokens])
        half = [float(np.ptp(np.asarray(segment, float)[:, 1])) / 2
                for segment in errors.get_segments()]
        np.testing.assert_allclose(half, [ROWS[name][t].std(ddof=1) / 2**0.5 for t in tokens])
    # What does not know the question is broken, and stands for comparison in both panels.
    assert drawn["even"].lines[0].get_linestyle() == "--"
    assert {bars.get_label() for bars in second.containers} == {"1/0", "even"}
    levels = [line for line in first.lines if line.get_label() == "all tokens (600)"]
    assert [line.get_ydata()[0] for line in levels] == [0.75]


def test_what_is_said_and_refused() -> None:
    said = describe_token_budgets(ROWS)
    assert "even: 37.5 % with 25 tokens, 62.5 % with 100." in said.replace("\u202f", " ").replace(
        "\xa0", " ") and "all tokens" in said
    with pytest.raises(InputError, match="two budgets"):
        token_budgets({"all tokens": ROWS["all tokens"]})
