"""The picture of tokens and sparsity."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse.budgets import JoinedCurves, joined, surface
from neurosparse.errors import InputError
from neurosparse.report import joined as draw


def _curves(tokens: list[int], rates: list[float]) -> JoinedCurves:
    count, rate = np.array(tokens)[:, None], np.array(rates)[None]
    return JoinedCurves(np.array(tokens), np.array(rates), 1 / count + rate**2,
                        count * (1 - rate) + 1.0, dense=float(tokens[-1] + 1))


def test_what_is_drawn() -> None:
    curves = _curves([10, 40, 200], [0.0, 0.3, 0.6])
    choice = joined(curves, cost=60.0)
    figure = draw(surface(curves), curves, choice)
    axes = figure.axes[0]
    marks = [line for line in axes.lines if line.get_gid() == "choice"]
    assert len(marks) == 2  # all tokens alone are out of reach
    assert (marks[-1].get_xdata()[0], marks[-1].get_ydata()[0]) == (
        choice.best.tokens, choice.best.sparsity)
    (measured,) = (line for line in axes.lines if line.get_gid() == "measured")
    assert len(measured.get_xdata()) == 9
    (damage,) = (one for one in axes.collections if one.get_gid() == "damage")
    assert damage.get_array().min() == pytest.approx(curves.damage.min())
    assert "operations" in axes.get_title(loc="left")


def test_without_a_choice_and_many_tokens() -> None:
    curves = _curves([100, 40_000], [0.0, 0.5])
    axes = draw(surface(curves), curves).axes[0]
    assert not [line for line in axes.lines if line.get_gid() == "choice"]


def test_no_plane() -> None:
    curves = _curves([10, 20], [0.0])
    with pytest.raises(InputError, match="two levels or more"):
        draw(surface(curves), curves)
