"""Text to windows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.tokenizers_ import WORDS, make

from neurosparse.errors import InputError, TextError
from neurosparse.models import windows
from neurosparse.models.windows import join

PLAIN, FIRST = make(first=False), make(first=True)


@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=80),
    length=st.integers(2, 12),
    first=st.booleans(),
)
def test_windows_are_the_text_in_order_without_overlap(
    words: list[str], length: int, first: bool
) -> None:
    ids = [WORDS.index(word) + 3 for word in words]
    step = length - first
    text = " ".join(words)
    tokenizer = FIRST if first else PLAIN
    if len(ids) < step:
        with pytest.raises(TextError):
            windows(tokenizer, text, length=length)
        return
    found = windows(tokenizer, text, length=length)
    assert found.dtype == torch.int64
    assert found.shape == (len(ids) // step, length)
    if first:
        assert (found[:, 0] == 1).all()
    assert found[:, first:].reshape(-1).tolist() == ids[: len(ids) // step * step]


def test_count_takes_the_first_windows() -> None:
    text = " ".join(WORDS)
    everything = windows(FIRST, text, length=6)
    assert torch.equal(windows(FIRST, text, length=6, count=3), everything[:3])
    assert torch.equal(windows(FIRST, text, length=6, count=1000), everything)


def test_a_first_token_in_the_text_is_not_the_tokenizers_own() -> None:
    # Without a tokenizer that adds it, a text that starts with <bos> is text like any other.
    found = windows(PLAIN, "<bos> w0 w1 w2 w3 w4", length=3)
    assert found.tolist() == [[1, 3, 4], [5, 6, 7]]


def test_documents_are_joined_by_blank_lines() -> None:
    assert join(["one\n\n", "two", "three\n\n"]) == "one\n\ntwo\n\nthree\n\n"
    assert join(["alone"]) == "alone"
    found = windows(PLAIN, ["w0 w1", "w2 w3"], length=4)
    assert found.tolist() == [[3, 4, 5, 6]]


def test_a_long_text_gives_no_warning(caplog: pytest.LogCaptureFixture, capfd) -> None:
    windows(PLAIN, " ".join(WORDS * 10), length=8)
    assert not caplog.records and not capfd.readouterr().err


@pytest.mark.parametrize("text", ["", "  \n", [], ["", " "]])
def test_an_empty_text_is_refused(text) -> None:
    with pytest.raises(TextError, match="empty text"):
        windows(PLAIN, text)


def test_a_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(TextError, match=r"found a text of 3 tokens; expected at least 511 tokens"):
        windows(FIRST, "w0 w1 w2")


def test_bad_options_are_refused() -> None:
    for options in ({"length": 1}, {"length": 0}, {"count": 0}):
        with pytest.raises(InputError):
            windows(PLAIN, "w0 w1 w2", **options)
    with pytest.raises(InputError, match="no tokenizer"):
        windows(None, "w0")
