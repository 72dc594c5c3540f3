"""The offline choice task: which of four sentences goes on with a summary (docs/protocol.md)."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from neurosparse.errors import TextError
from neurosparse.files import write_text
from neurosparse.measure import protocol

ITEMS = 2000
CHOICES = 4
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\s])")
_FEWEST_WORDS = 4


@dataclass(frozen=True)
class ChoiceItem:
    """A beginning, sentences of which one goes on with it, and which one.

    Attributes
    ----------
    context, choices, answer
        ``choices[answer]`` is the true one.
    """

    context: str
    choices: tuple[str, ...]
    answer: int


def choice_items(count: int = ITEMS, *, language: str = "en") -> list[ChoiceItem]:
    """The first ``count`` items of the protocol.

    From the report side: the first half of a summary's sentences is the context, the next sentence
    the true choice; three others are such sentences of other summaries of the same topic, drawn by
    ``random.Random(0)``.

    Parameters
    ----------
    count
        At most; summaries of one sentence give none.
    language
        ``"en"``, ``"fr"`` or ``"es"``.

    Raises
    ------
    TextError
        The text's package is not installed, or gives no item.
    """
    every = protocol.entries(language)
    parts: list[tuple[str, str, str]] = []
    for entry in every[len(every) // 2 :]:
        found = _cut(entry["extract"])
        if found is not None:
            parts.append((entry["topic"], f"{entry['title']}\n\n{found[0]}", found[1]))
    by_topic: dict[str, list[int]] = {}
    for at, (topic, _, _) in enumerate(parts):
        by_topic.setdefault(topic, []).append(at)
    rng, items = random.Random(0), []
    for at, (topic, context, true) in enumerate(parts):
        others = [one for one in by_topic[topic] if one != at and parts[one][2] != true]
        if len(others) < CHOICES - 1:
            continue
        choices = [true] + [parts[one][2] for one in rng.sample(others, CHOICES - 1)]
        order = rng.sample(range(CHOICES), CHOICES)
        items.append(ChoiceItem(context, tuple(choices[one] for one in order), order.index(0)))
        if len(items) == count:
            break
    if not items:
        raise TextError("make choice items", found="no summary of two sentences",
                        expected="some in the protocol's text")
    return items


def _cut(extract: str) -> tuple[str, str] | None:
    """First half of the sentences, and the next one."""
    sentences = _SENTENCE.split(" ".join(extract.split()))
    if len(sentences) < 2:
        return None
    half = (len(sentences) + 1) // 2
    following = sentences[half] if half < len(sentences) else sentences[-1]
    if len(following.split()) < _FEWEST_WORDS:
        return None
    return " ".join(sentences[:half]), following


_TASK = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
target_delimiter: " "
metric_list:
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""


def write_lm_eval_task(folder: str | Path, items: Sequence[ChoiceItem],
                       name: str = "wiki_continuation") -> Path:
    """Write items as a task folder of lm-eval: ``lm_eval --include_path FOLDER --tasks NAME``.

    Returns
    -------
    Path
        Of the task's file; the items lie beside it.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    data = (place / f"{name}.jsonl").resolve()
    write_text(data, "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n"
                             for item in items))
    task = place / f"{name}.yaml"
    write_text(task, _TASK.format(name=name, data=data))
    return task
