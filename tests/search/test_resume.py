"""Going on: after Ctrl-C and after a kill the archive is that of an undisturbed search."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import search_cases as cases

from neurosparse.search import read_archive, search

SPACE = cases.space()
NAMES = ["random", "evolution", "cma", "tpe", "line", "golden", "llm"]


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_search_goes_on_to_the_same_archive(name: str, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    asked: dict[str, Any] = {"space": SPACE, "fitness": cases.plain, "evaluations": 21,
                             "takes": "values", "batch": 5 if name == "llm" else None}
    undisturbed = search(**asked, proposer=cases.proposer(name), archive=whole)
    steps = len(undisturbed.trials)
    for stop in (1, 3, 8, 13, 16):
        if stop >= steps:
            break

        def interrupt(label: str, done: int, total: int, stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search(**asked, proposer=cases.proposer(name), archive=part, progress=interrupt)
        assert len(read_archive(part).entries) == stop
    resumed = search(**asked, proposer=cases.proposer(name), archive=part)
    assert part.read_bytes() == whole.read_bytes()
    assert resumed.value == undisturbed.value
    assert resumed.record == undisturbed.record
    assert np.array_equal(resumed.values(), undisturbed.values())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_depends_on_what_was_told_alone(name: str) -> None:
    """And on no global generator; and every proposal is a configuration."""
    first, second = cases.proposer(name), cases.proposer(name)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr] # noqa: NPY002
    asked = []
    for _ in range(4):
        batch = first.ask(5)
        assert all(np.array_equal(a, b) for a, b in zip(batch, first.ask(5), strict=True))
        asked.append(batch)
        for each in batch:
            assert SPACE.holds(each)
            first.tell(each, cases.plain(each))
    assert np.array_equal(state, np.random.get_state()[1])  # type: ignore[index] # noqa: NPY002
    for batch in asked:
        for each in batch:
            second.tell(each, cases.plain(each))
    after = [first.ask(5), second.ask(5)]
    assert all(np.array_equal(a, b) for a, b in zip(*after, strict=True))
    if name not in ("line", "golden"):
        assert after[0]
        other = cases.proposer(name, seed=4)
        for batch in asked:
            for each in batch:
                other.tell(each, cases.plain(each))
        assert name == "llm" or not np.array_equal(other.ask(5)[0], after[0][0])


@pytest.mark.slow
def test_killed_five_times_it_ends_with_the_same_archive(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    cases.run(str(whole))
    kills = 0
    command = [sys.executable, cases.__file__, "run", str(part)]
    for _ in range(5):
        before = part.stat().st_size if part.exists() else 0
        program = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and program.poll() is None:
            if part.exists() and part.stat().st_size > before + 700:
                program.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        kills += program.wait() == -signal.SIGKILL
    assert kills == 5
    assert part.read_bytes() != whole.read_bytes()
    subprocess.run(command, check=True)
    assert part.read_bytes() == whole.read_bytes()
