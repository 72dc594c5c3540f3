"""Assignment: exact sums, caps, floors, order, grids, and the guard."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from neurosparse.budgets import Budget
from neurosparse.errors import BudgetError, InputError
from neurosparse.video import agreement, assign_tokens, best_grid, fit_grids, weights_of

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=12)
RULES = st.sampled_from(["power", "softmax", "rank"])


@given(SCORES, st.integers(1, 400), st.integers(1, 6), st.integers(1, 6), RULES)
def test_tokens_sum_to_the_budget_exactly_and_keep_the_caps(scores, budget, high, wide, rule):
    found = assign_tokens(scores, budget, full=(high, wide), rule=rule)
    room = high * wide * len(scores)
    assert found.tokens.sum() == found.total == min(budget, room)
    assert found.tokens.min() >= 0 and found.tokens.max() <= high * wide
    assert any("fewer than" in note for note in found.notes) == (budget > room)


@given(SCORES, st.integers(1, 400), st.floats(0, 8))
def test_a_higher_score_never_gets_fewer_tokens(scores, budget, power):
    found = assign_tokens(scores, budget, full=(6, 6), power=power)
    for i, j in itertools.permutations(range(len(scores)), 2):
        if scores[i] > scores[j]:
            assert found.tokens[i] >= found.tokens[j]


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=10), st.integers(1, 300),
       st.integers(-6, 6))
def test_the_scale_of_the_scores_does_not_matter(scores, budget, exponent):
    """The paper's factor of 100 does nothing. Powers of two, which change no rounding."""
    one = assign_tokens(scores, budget, full=(7, 7))
    two = assign_tokens([2.0 ** exponent * s for s in scores], budget, full=(7, 7))
    assert one.tokens.tolist() == two.tokens.tolist() and one.grids == two.grids


@given(st.permutations(range(8)), st.integers(8, 200))
def test_permuted_frames_get_permuted_tokens(order, budget):
    scores = np.array([0.11, 0.23, 0.37, 0.41, 0.53, 0.67, 0.71, 0.83])
    one = assign_tokens(scores, budget, full=(6, 6)).tokens
    two = assign_tokens(scores[list(order)], budget, full=(6, 6)).tokens
    assert two.tolist() == one[list(order)].tolist()


def test_scores_that_differ_in_the_last_bit_keep_their_order():
    """Here the rounding of the costs alone would turn neighbours round, one time in nine."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        scores = np.full(4, rng.random() + 0.01)
        for i in range(1, 4):
            scores[i] = np.nextafter(scores[i - 1], 2)
        tokens = assign_tokens(scores, int(rng.integers(4, 100)), full=(5, 6)).tokens
        assert np.all(np.diff(tokens) >= 0)


def test_power_zero_is_uniform_and_a_great_power_takes_the_best():
    scores = [0.2, 0.9, 0.5, 0.7]
    assert assign_tokens(scores, 40, full=(5, 5), power=0).tokens.tolist() == [10] * 4
    assert assign_tokens(scores, 20, full=(5, 5), power=200).tokens.tolist() == [0, 20, 0, 0]


def test_the_papers_weights():
    weights, notes = weights_of([0.1, 0.2, 0.3])
    np.testing.assert_allclose(weights, np.array([1, 4, 9]) / 14, rtol=1e-14)
    assert notes == ()
    np.testing.assert_allclose(weights_of([0.3, 0.1, 0.3, 0.0], rule="rank", power=1)[0],
                               np.array([3.5, 2, 3.5, 1]) / 10)
    np.testing.assert_allclose(weights_of([-1.0, 0.0], rule="softmax", temperature=0.5)[0],
                               [1 / (1 + np.e**2), 1 / (1 + np.e**-2)])


def test_a_full_frame_gives_what_it_cannot_hold_to_the_others():
    """The official pass loses 39 % of the budget on such scores."""
    found = assign_tokens([1.0, 0.5, 0.25, 0.0], 60, full=(5, 5))
    assert found.tokens.tolist() == [25, 25, 10, 0]
    spilt = assign_tokens([1.0, 0.0, 0.0], 45, full=(5, 5))
    assert spilt.tokens.tolist() == [25, 10, 10]  # frames without weight get the rest alone


@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=7), st.integers(1, 60),
       st.integers(3, 20))
def test_tokens_are_proportional_where_no_cap_binds(scores, budget, side):
    found = assign_tokens(scores, budget, full=(side, side))
    share = found.weights * budget
    assume(share.max() < side * side - 1 and share.min() >= 1)
    # Sainte-Lague: no two frames could trade a token and come nearer to their shares.
    ratio_up = (2 * found.tokens + 1) / found.weights
    ratio_down = (2 * found.tokens - 1) / found.weights
    assert ratio_down.max() <= ratio_up.min() * (1 + 1e-12)
    assert np.abs(found.tokens - share).max() < len(scores)


@given(SCORES, st.integers(1, 200), st.integers(1, 9))
def test_no_frame_has_fewer_than_the_floor(scores, budget, floor):
    assume(budget >= floor)
    found = assign_tokens(scores, budget, full=(4, 4), floor=floor)
    kept = found.tokens[found.tokens > 0]
    # So many frames can have the floor, and hold 16 each.
    assert kept.min() >= floor
    assert kept.sum() == min(budget, 16 * min(len(scores), budget // floor))
    assert found.kept.tolist() == np.flatnonzero(found.tokens).tolist()


def test_fewest_frames_are_dropped():
    """Against every set of best frames: the largest in which proportional shares reach it."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.random(6) + 0.01
        floor, budget = int(rng.integers(1, 9)), int(rng.integers(10, 60))
        found = assign_tokens(scores, budget, full=(10, 10), floor=floor)
        order = np.argsort(-scores)
        most = max(k for k in range(1, 7)
                   if k == 1 or (w := scores[order[:k]] ** 2)[-1] / w.sum() * budget >= floor)
        assert len(found.kept) == most
        assert set(found.kept.tolist()) == set(order[:most].tolist())


def test_frames_that_hold_the_budget_are_kept():
    """Against every set of frames: the most that one can hold, by the best set that can."""
    found = assign_tokens([3, 2, 1], 6, full=(2, 2), floor=4)
    assert found.tokens.tolist() == [4, 0, 0] and found.total == 4 and found.asked == 6
    assert any("fewer than the 6 asked: each has 4 or none" in note for note in found.notes)
    # The first two hold 6.
    found = assign_tokens([3, 2, 1], 7, full=[(1, 3), (1, 3), (2, 2)], floor=3)
    assert found.tokens.tolist() == [3, 0, 4]
    rng = np.random.default_rng(0)
    for _ in range(200):
        count, floor = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        caps = rng.integers(floor, 9, count)
        budget = int(rng.integers(floor, caps.sum() + 3))
        given = assign_tokens(rng.permutation(count) + 1.0, budget, floor=floor,
                              full=[(1, int(cap)) for cap in caps]).tokens
        reach = max(min(budget, int(caps[list(some)].sum())) for size in range(1, count + 1)
                    for some in itertools.combinations(range(count), size)
                    if floor * size <= budget)
        assert given.sum() == reach and np.all(given <= caps)
        assert given[given > 0].min() >= floor


@pytest.mark.parametrize("budget", [3.7, float("nan"), float("inf"), "5", None])
def test_tokens_are_whole(budget):
    with pytest.raises(BudgetError, match="a whole number"):
        assign_tokens([1, 2, 3], budget, full=(2, 2))
    with pytest.raises(BudgetError, match=r"a floor of .*a whole number"):
        assign_tokens([1, 2, 3], 6, full=(2, 2), floor=budget)
    assert assign_tokens([1, 1], np.int64(4), full=(2, 2)).total == 4


@pytest.mark.parametrize("scores", [[0.0] * 4, [np.nan] * 4, [np.inf, np.nan, -np.inf, np.nan]])
def test_scores_without_information_are_uniform_and_said(scores):
    found = assign_tokens(scores, 18, full=(3, 3))
    assert sorted(found.tokens.tolist()) == [4, 4, 5, 5]
    assert any("uniform" in note for note in found.notes)


def test_some_scores_missing_count_as_the_lowest():
    weights, notes = weights_of([0.5, np.nan, 0.5])
    assert weights.tolist() == [0.5, 0.0, 0.5] and "1 of 3 scores" in notes[0]
    weights, _ = weights_of([-1.0, np.nan, 3.0], rule="softmax")
    assert weights[0] == weights[1] < weights[2]


def test_budgets_at_the_ends():
    with pytest.raises(BudgetError, match="a budget of 0"):
        assign_tokens([1, 1], 0, full=(3, 3))
    with pytest.raises(BudgetError, match="a budget of 3"):
        assign_tokens([1, 1], 3, full=(3, 3), floor=4)
    with pytest.raises(BudgetError, match="floor=10"):
        assign_tokens([1, 1], 12, full=(3, 3), floor=10)
    below_one_a_frame = assign_tokens([0.2, 0.9, 0.9, 0.3], 2, full=(3, 3))
    assert below_one_a_frame.tokens.tolist() == [0, 1, 1, 0]
    assert any("2 of 4 frames dropped" in note for note in below_one_a_frame.notes)
    above = assign_tokens([0.2, 0.9], 100, full=(3, 3))
    assert above.tokens.tolist() == [9, 9] and above.asked == 100 and above.total == 18
    assert above.grids == ((3, 3), (3, 3))


def test_wrong_scores_and_options_are_refused():
    for bad in ([], [[1.0]]):
        with pytest.raises(InputError, match="one score a frame"):
            assign_tokens(bad, 4, full=(2, 2))
    with pytest.raises(InputError, match="softmax"):
        assign_tokens([-0.1, 0.2], 4, full=(2, 2))
    with pytest.raises(InputError, match="trust=2"):
        weights_of([1.0], trust=2)
    with pytest.raises(BudgetError, match="2 grids for 3 frames"):
        assign_tokens([1, 1, 1], 4, full=[(2, 2), (2, 2)])


def test_the_budget_file(tmp_path):
    found = assign_tokens([0.1, 0.9, 0.0], 7, full=(2, 3))
    found.budget().write(tmp_path / "b.json")
    back = Budget.read(tmp_path / "b.json", kind="tokens")
    assert [t.value for t in back.targets] == found.tokens.tolist()
    assert sum(t.value for t in back.targets) == back.total.kept == 7
    assert [t.size for t in back.targets] == [6, 6, 6] and back.rule.options["power"] == 2.0


@given(st.integers(1, 900), st.integers(1, 27), st.integers(1, 27))
def test_a_grid_fits_its_count_and_the_full_grid(tokens, high, wide):
    rows, columns = best_grid(tokens, (high, wide))
    assert rows * columns <= tokens and rows <= high and columns <= wide


@given(st.integers(1, 729))
def test_a_square_loses_at_most_about_twice_the_root(tokens):
    rows, columns = best_grid(tokens, (27, 27))
    assert tokens - rows * columns <= 2 * np.sqrt(tokens)
    assert max(rows, columns) / min(rows, columns) <= 2


def test_known_grids():
    assert best_grid(196, (27, 27)) == (14, 14) and best_grid(729, (27, 27)) == (27, 27)
    assert sorted(best_grid(160, (27, 27))) == [12, 13]  # and not 8 x 20
    assert best_grid(5, (9, 9)) == (2, 2) and best_grid(2, (9, 9)) in ((1, 2), (2, 1))
    assert best_grid(32, (4, 16)) == (3, 10)  # the shape of the picture


@given(SCORES, st.integers(1, 400))
def test_grid_areas_stay_within_the_budget_and_lose_little(scores, budget):
    found = assign_tokens(scores, budget, full=(6, 6))
    areas = [0 if g is None else g[0] * g[1] for g in found.grids]
    assert sum(areas) <= found.total
    assert [g is None for g in found.grids] == (found.tokens == 0).tolist()
    # What is left is no more than one frame loses, as remainders go on.
    assert found.total - sum(areas) <= 2 * np.sqrt(36)


def test_the_remainder_goes_on_to_the_next_frame():
    assert [a * b for a, b in fit_grids([5, 5, 5], [(5, 5)] * 3)] == [4, 6, 4]
    assert fit_grids([7, 0, 2], [(3, 3)] * 3)[1] is None
    served = fit_grids([5, 7], [(5, 5)] * 2, order=[1, 0])
    assert served[1] == (2, 3) and served[0] == (2, 3)  # 7 = 6 + 1, then 5 + 1


def test_agreement_of_readings():
    rng = np.random.default_rng(0)
    truth = rng.random(64)
    assert agreement([truth, truth]) > 0.99
    assert agreement([truth, 1 - truth]) == 0.0  # the letter is answered, not the picture
    noisy = agreement([truth + 0.3 * rng.random(64), truth + 0.3 * rng.random(64)])
    assert 0.5 < noisy < 0.99
    chance = np.mean([agreement(rng.random((2, 32))) for _ in range(200)])
    assert chance < 0.06  # 0.12 without the standard error
    assert agreement([truth]) == 1.0 and agreement([[1, 2, 3], [3, 2, 1]]) == 1.0
    assert agreement([truth, np.full(64, 0.5)]) == 0.0
    assert agreement([truth, np.full(64, np.nan)]) == 0.0
    # Wordings and orders are looked at apart: who answers by either gets no say.
    other = rng.random(64)
    by_wording, by_letter = [truth, truth, other, other], [truth, 1 - truth] * 2
    assert agreement(by_wording[:2]) > 0.99 and agreement(by_wording) > 0.2
    assert agreement(by_wording, layout=(2, 2)) < 0.2
    assert agreement(by_letter, layout=(2, 2)) == 0.0
    assert agreement([truth] * 4, layout=(2, 2)) > 0.99
    assert agreement([truth, truth], layout=(1, 2)) == agreement([truth, truth])
    with pytest.raises(InputError, match="3 readings"):
        agreement([truth] * 3, layout=(2, 2))
    with pytest.raises(InputError):
        agreement([1.0, 2.0])


def test_the_guard_mixes_towards_uniform():
    scores = [0.9, 0.1, 0.1, 0.1]
    full = assign_tokens(scores, 100, full=(10, 10)).tokens
    half = assign_tokens(scores, 100, full=(10, 10), trust=0.5).tokens
    none = assign_tokens(scores, 100, full=(10, 10), trust=0.0).tokens
    assert none.tolist() == [25] * 4 and full[0] > half[0] > none[0]


def test_needle_gain_has_its_closed_form():
    """papers.md 5 (f) 8: a needle frame, a scorer with hit and false-alarm rates, a reader whose
    accuracy is linear in the needle's tokens. Break-even where hits equal false alarms.
    """
    frames, budget = 8, 640

    def tokens_of_needle(hit: bool, others: int) -> int:
        said = np.array([hit] + [True] * others + [False] * (frames - 1 - others))
        return int(assign_tokens(np.where(said, 1.0, 0.5), budget, full=(20, 20)).tokens[0])

    def closed(hit: bool, others: int) -> float:
        return budget * (4 if hit else 1) / (frames + 3 * (others + hit))

    def mean(tokens, hit: float, alarm: float) -> float:
        return sum(
            comb(frames - 1, k) * alarm**k * (1 - alarm) ** (frames - 1 - k)
            * (hit * tokens(True, k) + (1 - hit) * tokens(False, k)) for k in range(frames))

    for hit, alarm in ((0.9, 0.1), (0.3, 0.3), (0.1, 0.9)):
        assert abs(mean(tokens_of_needle, hit, alarm) - mean(closed, hit, alarm)) < 1
    # Accuracy linear in the needle's tokens: as good as uniform where the scorer is chance,
    # better or worse than it as hits are more or fewer than false alarms.
    assert mean(closed, 0.3, 0.3) == pytest.approx(budget / frames)
    assert mean(tokens_of_needle, 0.9, 0.1) > 2 * budget / frames
    assert mean(tokens_of_needle, 0.1, 0.9) < budget / frames


def test_scores_without_trust_have_no_say_at_all():
    """Even shares, and the same frames get the tokens that are left over."""
    scores = np.random.default_rng(5).random(24)
    even = assign_tokens(np.ones(24), 25, full=(5, 5))
    got = assign_tokens(scores, 25, full=(5, 5), trust=0.0)
    np.testing.assert_array_equal(got.tokens, even.tokens)
    assert got.grids == even.grids
    some = assign_tokens(scores, 25, full=(5, 5), trust=1e-3)
    assert some.tokens[np.argmax(scores)] == 2
