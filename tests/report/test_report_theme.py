"""Colours can be told apart, by everybody, on light and on dark."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from neurosparse.report.svg import inline
from neurosparse.report.theme import COLOURS, MARKERS, new_figure, ordered, series

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "usual": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                        [0.004733, 0.691367, 0.303900]]),
}


def linear(colour: str) -> np.ndarray:
    value = np.array(to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                       [0.0193, 0.1192, 0.9505]])
    xyz = matrix @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(first: str, second: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (first, second))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_words_have_the_contrast_that_wcag_asks_of_text(mode: int) -> None:
    for name in ("ink", "soft", "strong", "warm"):
        assert contrast(COLOURS[name][mode], COLOURS["surface"][mode]) >= 4.5, name


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_roles_can_be_told_apart(mode: int, vision: str) -> None:
    seen = [lab(VISION[vision] @ linear(COLOURS[f"s{n}"][mode])) for n in range(8)]
    gaps = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    # About ten times the least difference that can be seen side by side.
    assert min(gaps) >= 20, (vision, min(gaps))


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_the_ordered_scale_grows_lighter_for_everybody(mode: int, vision: str) -> None:
    lightness = [lab(VISION[vision] @ linear(COLOURS[f"o{n}"][mode]))[0] for n in range(24)]
    assert np.all(np.diff(lightness) > 0)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_lines_stand_out_from_the_page(mode: int) -> None:
    for name in [f"s{n}" for n in range(8)] + [f"o{n}" for n in range(24)]:
        assert contrast(COLOURS[name][mode], COLOURS["surface"][mode]) >= 1.6, name


def test_series_beyond_the_palette_differ_by_marker() -> None:
    found = [series(number) for number in range(24)]
    assert len(set(found)) == 24 and {marker for _, marker in found} == set(MARKERS)
    assert ordered(0, 1) == ordered(0, 30) != ordered(29, 30)


def test_every_light_colour_is_named_once_and_becomes_a_variable() -> None:
    lights = [pair[0] for pair in COLOURS.values()]
    assert len(set(lights)) == len(lights)
    figure = new_figure(2, 2)
    axes = figure.subplots()
    axes.plot([0, 1], color=COLOURS["s1"][0])
    svg = inline(figure, name="n", alt='a "quoted" <name>')
    assert "var(--s1)" in svg and COLOURS["s1"][0] not in svg
    assert 'aria-label="a &quot;quoted&quot; &lt;name&gt;"' in svg
