"""Numbers in words: what is printed is the number, to the digits that are printed."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.report import log_axis, numbers

SUPER = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def parsed(text: str) -> float:
    text = text.replace("\u202f", "").replace("−", "-")
    mantissa, _, power = text.partition(" × 10")
    return float(mantissa) * 10.0 ** int(power.translate(SUPER) or 0)


@given(st.floats(-1e12, 1e12), st.integers(2, 6))
def test_significant_is_the_number_to_its_digits(value: float, digits: int) -> None:
    assert math.isclose(parsed(numbers.significant(value, digits)), value,
                        rel_tol=0.5001 * 10.0 ** (1 - digits), abs_tol=1e-300)


@given(st.floats(0.01, 1e6), st.floats(1e-5, 1e3))
def test_value_and_error_are_cut_at_the_same_place(value: float, error: float) -> None:
    left, right = numbers.with_error(value, error).split(" ± ")
    assert abs(parsed(left) - value) <= 0.051 * error + 0.5000001
    assert parsed(right) == pytest.approx(error, rel=0.051)
    assert len(left.partition(".")[2]) == len(right.partition(".")[2])


@given(st.integers(1, 10**13))
def test_sizes_are_within_half_a_percent_and_never_reach_a_thousand(count: int) -> None:
    text = numbers.size(count)
    found = re.fullmatch(r"([\d.\u202f]+) (bytes|kB|MB|GB)", text)
    assert found
    unit = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[found[2]]
    assert parsed(found[1]) * unit == pytest.approx(count, rel=0.0051)
    assert parsed(found[1]) < 1000 or found[2] == "GB"


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_against_says_the_factor_the_right_way_round(value: float, reference: float) -> None:
    text = numbers.against(value, reference)
    if text == "the same size":
        assert value == pytest.approx(reference, rel=6e-4)
        return
    factor, word = text.split("× ")
    assert (value < reference) == (word == "smaller") and parsed(factor) >= 1
    wanted = max(value / reference, reference / value)
    assert parsed(factor) == pytest.approx(wanted, rel=0.0051)


@pytest.mark.parametrize(("seconds", "said"), [
    (0.9999, "1.00 s"), (59.96, "1 min 0 s"), (3599.7, "1 h 0 min"), (60.0, "1 min 0 s"),
    (0.0, "0 ms"), (float("nan"), "–"),
])
def test_durations_at_their_borders(seconds: float, said: str) -> None:
    assert numbers.duration(seconds) == said


def test_what_is_not_a_number_is_said() -> None:
    assert numbers.significant(None) == numbers.size(None) == numbers.percent(None) == "–"
    assert numbers.significant(math.inf) == "∞" and numbers.significant(math.nan) == "not a number"
    assert numbers.with_error(math.inf, math.nan) == "∞"


@pytest.mark.parametrize(("value", "said"), [
    (1.0, "1"), (0.001, "0.001"), (0.05, "0.05"), (1e-5, "10⁻⁵"), (2e-6, "2·10⁻⁶"), (1e4, "10⁴"),
])
def test_labels_of_the_logarithmic_axis(value: float, said: str) -> None:
    assert log_axis.tick_label(value) == said
