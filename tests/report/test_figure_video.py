"""The picture of an answer shows the scores and tokens that the answer has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurosparse.errors import InputError
from neurosparse.report import video
from neurosparse.report.figure_video import clock, describe_video, strip_units


def facts(tokens: list[int], scores: list[float | None], *, together: int = 1) -> dict[str, Any]:
    """One second a frame; a unit holds ten tokens at most."""
    units = len(tokens)
    return {"question": "what is seen $last$ ?", "answer": "a dog", "duration": float(len(scores)),
            "trust": 0.5, "guarded": True,
            "frames": {"times": [float(t) for t in range(len(scores))], "scores": scores},
            "units": {"frames": together, "times": [together * u + (together - 1) / 2
                                                    for u in range(units)],
                      "tokens": tokens, "caps": [10] * units}}


def pictures(count: int) -> list[np.ndarray[Any, Any]]:
    return [np.full((30, 40, 3), 10 * i, np.uint8) for i in range(count)]


def panels(figure: Figure) -> tuple[Axes, Axes]:
    """Those of scores and tokens; the strip of frames comes before them."""
    scores, tokens = [axes for axes in figure.axes if not axes.images and axes.axison][-2:]
    return scores, tokens


@pytest.mark.parametrize("width", [10.2, 4.0])
@pytest.mark.parametrize("strip", [True, False])
def test_the_numbers_are_drawn(width: float, strip: bool) -> None:
    some = facts([10, 0, 3, 5], [0.9, 0.1, 0.3, None])
    figure = video(some, pictures(4) if strip else None, width=width)
    scores, tokens = panels(figure)
    dots = next(line for line in scores.lines if line.get_gid() == "scores")
    np.testing.assert_allclose(dots.get_ydata(), [0.9, 0.1, 0.3])
    missing = next(line for line in scores.lines if line.get_gid() == "unscored")
    np.testing.assert_allclose(missing.get_xdata(), [3.0])
    assert [bar.get_height() for bar in tokens.patches] == [10, 0, 3, 5]
    gone = next(line for line in tokens.lines if line.get_gid() == "dropped")
    np.testing.assert_allclose(gone.get_xdata(), [1.0])
    assert "18 in all" in tokens.get_title("left") and "1 of 4" in tokens.get_title("left")
    assert "0.50" in scores.get_title("left")
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == (3 if strip else 0)
    if strip:
        # The frame, its time and its tokens belong together.
        assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in shown] == [0, 20, 30]
        assert [axes.get_xlabel() for axes in shown] == [
            "0 s\n10 tokens", "2 s\n3 tokens", "3 s\n5 tokens"]
    figure.canvas.draw()  # lays out, with a dollar in the question


def test_of_a_pair_the_frame_with_the_better_score_is_shown() -> None:
    figure = video(facts([4, 6], [0.1, 0.8, None, 0.2], together=2), pictures(4))
    shown = [axes for axes in figure.axes if axes.images]
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in shown] == [10, 30]
    assert "each 2 frames" in panels(figure)[1].get_title("left")


def test_no_score_at_all_is_said() -> None:
    figure = video(facts([5, 5], [None, None]), width=10.2)
    assert "shared evenly" in panels(figure)[0].get_title("left")


def test_which_frames_are_shown() -> None:
    # Most tokens first, the better score among as many; in the order of time.
    assert strip_units(facts([1, 9, 9, 9, 0], [0.1, 0.2, 0.9, 0.5, 0.0]), 2) == [2, 3]
    assert strip_units(facts([0, 0, 7], [1.0, 1.0, 0.1]), 8) == [2]
    # All alike: spread over time.
    assert strip_units(facts([2] * 9, [0.5] * 9), 3) == [0, 4, 8]


def test_words() -> None:
    assert [clock(t) for t in (0.0, 3.25, 59.0, 60.0, 245.4, 600.0, 3723.0)] == [
        "0 s", "3.2 s", "59 s", "1:00", "4:05", "10:00", "1:02:03"]
    text = describe_video(facts([10, 0, 3, 5], [0.9, 0.1, 0.3, 0.2]))
    assert text == "18 tokens went to 3 of 4 frames, most (10) to that at 0 s."


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="0 frames"):
        video(facts([], []))
    with pytest.raises(InputError, match="2 frames and 3 pictures"):
        video(facts([1, 1], [0.1, 0.2]), pictures(3))
