"""The language-model proposer: what it asks, what it takes, and every way an answer can be bad."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import search_cases as cases
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.errors import FormatError, InputError, NeurosparseError
from neurosparse.search import (
    LlmProposer,
    Patient,
    count_space,
    rate_space,
    read_prompts,
    search,
)
from neurosparse.search.answers import (
    LONGEST,
    Configurations,
    Parents,
    Refused,
    is_answer,
    read_answer,
)
from neurosparse.search.form import Form
from neurosparse.search.prompts.describe import Description

SPACE = cases.space()
N = len(SPACE)
ROW = [round(20 + 20 * i / (N - 1), 1) for i in range(N)]
GOOD = json.dumps({"configurations": [ROW]})


@pytest.mark.parametrize("text", [
    GOOD, f"  {GOOD}\n", f"```json\n{GOOD}\n```", f"Sure! Here it is:\n```\n{GOOD}\n```\nEnjoy.",
    f"I think {{so}} {GOOD} and {{more}}", json.dumps({"answer": {"final": json.loads(GOOD)}}),
    f'{{"thought": "hm"}} {GOOD}', json.dumps([1, json.loads(GOOD)]), f"{{{{{{ {GOOD}",
    GOOD + '{"configurations": [[NaN]]}',
])
def test_json_is_found_wherever_it_is(text: str) -> None:
    assert read_answer(text, Configurations).configurations == [ROW]


@pytest.mark.parametrize(("text", "reason"), [
    ("", "empty"), ("   \n", "empty"), (None, "no text"), (b"{}", "no text"), (12, "no text"),
    ("I cannot help with that.", "no JSON object"), ("[[0.1, 0.2]]", "no JSON object"),
    ("import os; os.system('touch pwned')", "no JSON object"),
    ("__import__('os').system('touch pwned')", "no JSON object"),
    ('{"configurations": [[NaN, 0.2]]}', "NaN is no number"),
    ('{"configurations": [[Infinity]]}', "Infinity is no number"),
    ('{"configurations": [[1e999]]}', "finite"), ('{"configurations": [["0.1"]]}', "valid number"),
    ('{"configurations": [[true]]}', "valid number"), ('{"configurations": 3}', "valid list"),
    ('{"configurations": [0.1, 0.2]}', "valid list"), ('{"configurations": []}', "at least 1"),
    ('{"configurations": [[null]]}', "valid number"),
    ('{"configurations": [[0.1]], "extra": 1}', "extra"), ('{"configurations": [[0.1', "no JSON"),
    ('{"configurations": [[' + "1" * 400 + "]]}", "number"),
    ('{"configurations": [[' + "1" * 9000 + "]]}", "JSON"),
    ('{"a":' * 50_000, "JSON"), ("{" * 200_000, "cut at"), ('{"configurations": ' + "[" * 90_000,
                                                            "JSON"),
    ("x" * (LONGEST + 1) + GOOD, "cut at"),
])
def test_everything_else_is_refused_with_the_reason(text: Any, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(Refused, match=reason):
        read_answer(text, Configurations)
    assert time.monotonic() - started < 30
    assert not Path("pwned").exists()


@given(st.text(max_size=300))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    for form in (Configurations, Parents):
        with pytest.raises(Refused):
            read_answer(text + '{"parents": [-1]}', form)


def proposer(complete: Callable[[str], Any], **options: Any) -> LlmProposer:
    patient = Patient(complete, backoff=0, timeout=60)
    return LlmProposer(SPACE, patient, **{"population": 4, "at_once": 5, **options})


def run(made: LlmProposer, evaluations: int = 20) -> Any:
    found = search(SPACE, cases.plain, made, evaluations, takes="values", batch=5)
    assert len(found.trials) == evaluations
    assert all(SPACE.holds(trial.configuration) for trial in found.trials)
    return found


def test_the_four_prompts_are_asked_in_turn_and_recorded() -> None:
    ideal = cases.Ideal(cases.fitness().optimum)
    made = proposer(ideal)
    run(made)
    record = made.record
    assert (record.model, record.temperature, record.seed) == ("ideal", 0.0, 7)
    assert record.validity == 1.0 and record.fallbacks == 0 == record.lost
    assert record.accepted == record.wanted == 19  # all but the even one
    assert record.repaired > 0  # noise is off the mean
    assert record.tokens == [11 * record.answers, 5 * record.answers]
    assert record.characters[0] == sum(map(len, ideal.prompts))
    starts = ["Write 4 different configurations", "Choose 4", "children", "mutants"]
    asked = [next((s for s in starts if s in p), None) for p in ideal.prompts]
    # Four of the first population with the even one; then parents, crossover, mutation, each time.
    assert asked == starts[:1] + starts[1:] * 3
    assert "block.11" in ideal.prompts[0] and "must be 30." in ideal.prompts[0]
    assert '"value"' in ideal.prompts[1]


def test_no_question_is_asked_twice_in_the_same_words() -> None:
    """A model with a seed would give the same answer, and every second one would be lost."""
    ideal = cases.Ideal(cases.fitness().optimum)
    asked = proposer(ideal, initial=12, at_once=2)
    found = search(SPACE, cases.fitness(), asked, 40, takes="values")
    assert len(set(ideal.prompts)) == len(ideal.prompts) > 20
    assert asked.record.duplicates == asked.record.fallbacks == 0 and len(found.trials) == 40


def test_origins_are_kept_beside_each_batch(tmp_path: Path) -> None:
    from neurosparse.search import read_archive

    made = proposer(cases.Ideal(cases.fitness().optimum))
    search(SPACE, cases.plain, made, 15, takes="values", batch=5, archive=tmp_path / "a.jsonl")
    (batches,) = read_archive(tmp_path / "a.jsonl").batches.values()
    assert batches[0].notes["origins"] == ["start"] + ["population"] * 4
    assert batches[1].notes["origins"] == ["crossover"] * 2 + ["mutation"] * 3
    assert batches[2].notes["record"] == made.record.as_dict()


@pytest.mark.parametrize(("answer", "reason"), [
    ("", "it was empty"), (None, "it was no text"), ("x" * 10**6, "it has no JSON object"),
    ("def rates(): return [0.3] * 12", "it has no JSON object"),
    ('{"configurations": [[NaN]]}', "NaN is no number"),
    ('{"configurations": [[0.1, 0.2]]}', "a configuration has # numbers, not #"),
])
def test_bad_answers_are_asked_again_three_times_and_replaced(answer: Any, reason: str) -> None:
    prompts: list[str] = []

    def bad(prompt: str) -> Any:
        prompts.append(prompt)
        return answer

    made = proposer(bad)
    found = run(made, 10)
    record = made.record
    # Population, parents, crossover, mutation: each four times, then the operators.
    assert len(prompts) == 16 == record.answers
    assert record.fallbacks == record.wanted == 9 and record.accepted == 0
    assert record.validity == 0.0 and record.chosen_without == 1
    assert any(kind.startswith(reason) for kind in record.refused)
    again = prompts[1]
    assert again.startswith(prompts[0]) and "Your last answer was refused: " in again
    assert record.as_dict() == found.record["record"]


def test_the_reason_helps_a_model_that_listens() -> None:
    ideal = cases.Ideal(cases.fitness().optimum)

    def careless(prompt: str) -> str:
        return ideal(prompt) if "was refused: it has no JSON" in prompt else "Let me think."

    made = proposer(careless)
    run(made, 10)
    assert made.record.fallbacks == 0 and made.record.validity == 0.5


def test_out_of_the_box_is_repaired_and_the_same_again_is_no_answer() -> None:
    wild = [500.0, -3.0] + [30] * (N - 2)
    made = proposer(lambda prompt: json.dumps({"configurations": [wild] * 3}))
    found = run(made, 5)
    assert made.record.accepted == 1 == made.record.repaired
    assert made.record.duplicates == 2 + 3 * 3 and made.record.fallbacks == 3
    assert found.trials[1].configuration[0] == found.trials[1].configuration.max()


def test_parents_that_do_not_exist_are_refused() -> None:
    ideal = cases.Ideal(cases.fitness().optimum)
    answers = iter([[0, 99], [1, 1, 1, 1], [10**30, 2, 3, 4], [3, 2, 1, 0]])

    def choose(prompt: str) -> str:
        if "different ids" in prompt:
            return json.dumps({"parents": next(answers)})
        return ideal(prompt)

    made = proposer(choose)
    run(made, 10)
    assert sum(made.record.refused.values()) == 3 and made.record.chosen_without == 0


def test_a_server_that_dies_in_the_middle(tmp_path: Path) -> None:
    ideal = cases.Ideal(cases.fitness().optimum)
    waits: list[float] = []

    def dying(prompt: str) -> str:
        calls.append(prompt)
        if len(calls) > 2:
            raise ConnectionError("refused")
        return ideal(prompt)

    calls: list[str] = []
    patient = Patient(dying, backoff=0.5, sleep=waits.append)
    made = LlmProposer(SPACE, patient, population=4)
    found = search(SPACE, cases.plain, made, 40, takes="values", batch=5,
                   archive=tmp_path / "a.jsonl")
    assert len(found.trials) == 40 and found.failed == 0
    # Three questions with three more tries each, waiting twice as long each time; then no more.
    assert made.record.lost == 3 and len(calls) == 2 + 3 * 4
    assert waits == [0.5, 1.0, 2.0] * 3
    assert made.record.fallbacks >= 33


def test_a_server_that_comes_back_is_used() -> None:
    ideal = cases.Ideal(cases.fitness().optimum)
    calls: list[str] = []

    def shaky(prompt: str) -> str:
        calls.append(prompt)
        if len(calls) % 3:
            raise TimeoutError
        return ideal(prompt)

    made = proposer(shaky)
    run(made, 10)
    assert made.record.lost == 0 == made.record.fallbacks


def test_a_model_that_does_not_answer_is_not_waited_for() -> None:
    never = threading.Event()
    made = LlmProposer(SPACE, Patient(lambda p: str(never.wait()), timeout=0.02, retries=1,
                                      backoff=0), population=4)
    started = time.monotonic()
    run(made, 10)
    never.set()
    assert time.monotonic() - started < 30
    assert made.record.lost == 3 and made.record.fallbacks == 9


def test_patience_ends_with_the_last_error() -> None:
    with pytest.raises(NeurosparseError, match="3 tries: ValueError: no model") as caught:
        Patient(lambda p: (_ for _ in ()).throw(ValueError("no model")), retries=2,  # type: ignore[arg-type]
                backoff=0)("hi")
    assert isinstance(caught.value.__cause__, ValueError)
    for wrong in ({"timeout": 0}, {"retries": -1}, {"backoff": -1}):
        with pytest.raises(InputError, match="timeout"):
            Patient(str, **wrong)


def test_the_controls_hide_the_fitness_and_permute_the_labels() -> None:
    ideal = cases.Ideal(cases.fitness().optimum)
    run(proposer(ideal, show_fitness=False))
    assert not any('"value"' in prompt or "damage that was" in prompt for prompt in ideal.prompts)
    ordered = []
    for prompt in ideal.prompts:
        if "different ids" in prompt:
            shown = [json.loads(line)["configuration"] for line in prompt.splitlines()
                     if line.startswith('{"id"')]
            damage = [cases.plain(np.array(each)) for each in shown]
            ordered.append(damage == sorted(damage))
    assert len(ordered) == 3 and not all(ordered)
    order = list(range(N))[::-1]
    row = ROW[:]
    made = proposer(lambda p: json.dumps({"configurations": [row]}), order=order)
    asked = made.ask(2)
    assert np.allclose(asked[1], SPACE.project(np.array(row[::-1]) / 100))
    assert proposer(str).identity() != proposer(str, order=order).identity()


def test_whole_numbers_are_shown_and_taken_as_such() -> None:
    space = count_space([9] * 4, [10] * 4, 0.3)
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return '{"configurations": [[4, 3.4, 2, 2]]}'

    made = LlmProposer(space, Patient(answer, backoff=0))
    found = made.ask(2)[1]
    assert space.holds(found) and found.sum() == 11
    assert "whole numbers" in prompts[0] and "heads" in prompts[0]


def test_prompts_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "population.txt").write_text("$count of $units for $$5. $format")
    prompts: list[str] = []
    made = proposer(lambda p: prompts.append(p) or GOOD, prompts=tmp_path)  # type: ignore[func-returns-value]
    made.ask(2)
    assert prompts[0].startswith("1 of 12 for $5. Answer with one JSON object")
    assert made.prompts.mutation == read_prompts().mutation
    assert made.identity() != proposer(str).identity()
    for text, named in (("$colour", "colour"), ("costs $ 5", "lone")):
        (tmp_path / "population.txt").write_text(text)
        with pytest.raises(FormatError, match=named):
            read_prompts(tmp_path)
    with pytest.raises(InputError, match=r"population\.txt"):
        read_prompts(tmp_path / "nowhere")


def test_what_the_model_sees_of_failures_is_nothing() -> None:
    ideal = cases.Ideal(cases.fitness().optimum)
    calls: list[Any] = []

    def half(values: np.ndarray) -> float:
        calls.append(values)
        return math.nan if len(calls) % 2 else cases.plain(values)

    search(SPACE, half, proposer(ideal), 20, takes="values", batch=5)
    assert not any("Infinity" in prompt or "NaN" in prompt for prompt in ideal.prompts)


def test_neighbours_of_one_sort_share_a_number() -> None:
    names = [f"layers.{i}.{part}" for i in range(5) for part in ("attn", "mlp")]
    space = rate_space([100, 300] * 5, 0.3, names=names)
    description = Description(space, numbers=4)
    assert [place.name for place in description.places] == [
        "layers.0-2.attn", "layers.0-2.mlp", "layers.3-4.attn", "layers.3-4.mlp"]
    assert sorted(np.concatenate([place.units for place in description.places])) == list(range(10))
    parent = space.project(np.linspace(0.2, 0.4, 10))
    shown = description.shown(parent)
    # What is copied is the parent bit for bit; a change moves a whole stretch, details stay.
    assert np.array_equal(description.meant(shown, [space.even(), parent]), parent)
    more = description.meant([shown[0] + 9, *shown[1:]], [space.even(), parent]) - parent
    assert np.allclose(more[[0, 2, 4]], 0.09) and not more[[1, 3, 5, 6, 7, 8, 9]].any()
    assert len(Description(space)) == 10 == len(Description(space, numbers=10))
    assert len(Description(space, numbers=1)) == 2, "never fewer than sorts"
    for wrong in ({"numbers": 0}, {"order": [0, 1, 2], "numbers": 4}):
        with pytest.raises(InputError, match="search space"):
            Description(space, **wrong)


def test_a_copy_of_a_parent_or_of_the_start_is_no_answer() -> None:
    """The start is not evaluated yet when the first population is asked for."""
    made = proposer(lambda prompt: json.dumps({"configurations": [[30] * N]}), retries=0)
    made.ask(2)
    assert made.record.duplicates == 1 == made.record.fallbacks and made.record.accepted == 0


@pytest.mark.parametrize(("form", "whole"), [
    (Form("parents", 2, digits=1), "1, 2]}"), (Form("configurations", 2, 2, 2), "1, 25], [3, 4]]}"),
])
def test_a_form_is_followed_character_by_character(form: Form, whole: str) -> None:
    assert [form.fit(whole[:i]) for i in range(len(whole))] == ["open"] * len(whole)
    assert form.fit(whole) == "whole" and is_answer(form.opening + whole)
    reader = Parents if form.lists == 0 else Configurations
    assert read_answer(form.opening + whole, reader)
    for wrong in (whole + " ", whole[1:], "01", "1,2", "1]", "1, 2, 3", "-1", "x", "123"):
        assert form.fit(wrong) == "no", wrong
    assert json.loads(form.opening + whole).keys() == form.schema()["properties"].keys()


def test_only_a_completion_that_can_is_told_the_form() -> None:
    forms: list[Form] = []
    ideal = cases.Ideal(cases.fitness().optimum)

    class Shaped:
        shaped = True

        def __call__(self, prompt: str, form: Form) -> str:
            forms.append(form)
            return ideal(prompt)

    shaped, free = proposer(Shaped()), proposer(ideal)
    run(shaped, 10)
    run(free, 10)
    assert forms == [Form("configurations", N, 4, 3), Form("parents", 4, 0, 1),
                     Form("configurations", N, 2, 3), Form("configurations", N, 3, 3)]
    assert shaped.identity() != free.identity()
