"""The figure of gradual pruning shows what the steps say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.report import adaptation
from neurosparse.report.figure_adaptation import by_block, describe_adaptation


def _steps(count: int) -> list[dict[str, Any]]:
    names = [f"model.layers.{block}.{role}" for block in range(4) for role in ("q", "up")]
    return [{"asked": 0.3 + 0.1 * t, "sparsity": 0.3 + 0.1 * t,
             "rates": {name: 0.3 + 0.01 * at for at, name in enumerate(names)},
             "ranks": dict.fromkeys(names, 4 + t), "errors": [0.1, 0.2, 0.1, 0.4],
             "losses": [3.0 - 0.1 * t, 2.9 - 0.1 * t]} for t in range(count)]


@pytest.mark.parametrize("width", [10.2, 4.0])
def test_lines_are_the_numbers(width: float) -> None:
    figure = adaptation(_steps(3), width=width)
    losses, rates, errors, ranks = figure.axes
    np.testing.assert_allclose(losses.lines[0].get_ydata(), [3.0, 2.9, 2.9, 2.8, 2.8, 2.7])
    assert len(rates.lines) == len(errors.lines) == len(ranks.lines) == 3
    np.testing.assert_allclose(rates.lines[0].get_ydata(), [0.305, 0.325, 0.345, 0.365])
    np.testing.assert_allclose(ranks.lines[2].get_ydata(), 6.0)
    np.testing.assert_allclose(errors.lines[1].get_ydata(), [0.1, 0.2, 0.1, 0.4])
    assert errors.get_yscale() == "log"


def test_one_step_and_none() -> None:
    figure = adaptation(_steps(1))
    assert not figure.legends
    with pytest.raises(InputError, match="no step"):
        adaptation([])


def test_blocks_are_means_and_absent_ones_are_nan() -> None:
    found = by_block({"h.0.a": 1.0, "h.0.b": 3.0, "h.2.a": 5.0})
    assert found[0] == 2.0 and np.isnan(found[1]) and found[2] == 5.0
    assert "2 steps to 40.0%" in describe_adaptation(_steps(2))
