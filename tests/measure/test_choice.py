"""The choice task: items as the protocol says, scores as a plain computation gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import WORDS, tiny_model, tiny_tokenizer

from neurosparse.errors import InputError, TextError
from neurosparse.measure import (
    ChoiceItem,
    choice_accuracy,
    choice_items,
    protocol,
    write_lm_eval_task,
)
from neurosparse.measure.choice import choice_scores

needs_text = pytest.mark.skipif(not protocol.is_installed(), reason=f"needs {protocol.PACKAGE}")


def _items(count: int = 6) -> list[ChoiceItem]:
    return [ChoiceItem(" ".join(WORDS[at : at + 5]),
                       tuple(" ".join(WORDS[at + k : at + 3 * k + 2]) for k in (1, 2, 3, 4)),
                       at % 4) for at in range(count)]


def test_scores_are_those_of_the_whole_sequences() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    for item in _items():
        scores = choice_scores(model, tokenizer, item)
        start = len(tokenizer(item.context)["input_ids"])
        for score, choice in zip(scores, item.choices, strict=True):
            ids = torch.tensor([tokenizer(f"{item.context} {choice}")["input_ids"]])
            found = model(input_ids=ids).logits[0].log_softmax(-1)
            plain = found[torch.arange(start - 1, ids.shape[1] - 1), ids[0, start:]].sum()
            assert score == pytest.approx(float(plain) / len(choice), abs=1e-5)


def test_accuracy_and_its_error() -> None:
    found = choice_accuracy(tiny_model(), tiny_tokenizer(), _items(20))
    assert found.right.shape == (20,) and 0 <= found.value <= 1
    assert found.stderr == pytest.approx((found.value * (1 - found.value) / 20) ** 0.5)
    with pytest.raises(InputError, match="no items"):
        choice_accuracy(tiny_model(), tiny_tokenizer(), [])


@needs_text
@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_items_of_the_protocol(language: str) -> None:
    items = choice_items(50, language=language)
    assert items == choice_items(80, language=language)[:50]
    report = "".join(protocol.summaries(language)[len(protocol.summaries(language)) // 2 :])
    flat = " ".join(report.split())
    for item in items:
        assert len(set(item.choices)) == 4 and 0 <= item.answer < 4
        title, _, beginning = item.context.partition("\n\n")
        assert f"{beginning} {item.choices[item.answer]}" in flat and title in report
    assert {item.answer for item in items} == {0, 1, 2, 3}
    with pytest.raises(TextError, match="language"):
        choice_items(2, language="xx")


def test_task_folder_of_lm_eval(tmp_path: Path) -> None:
    path = write_lm_eval_task(tmp_path / "tasks", _items(3))
    lines = (tmp_path / "tasks" / "wiki_continuation.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["choices"][json.loads(lines[1])["answer"]]
    text = path.read_text()
    assert "{{context}}" in text and "acc_norm" in text and "wiki_continuation.jsonl" in text
