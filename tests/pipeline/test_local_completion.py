"""A local model that answers prompts: one loop for all of them, in the form that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tiny import tiny_model
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from neurosparse.models import LoadedModel
from neurosparse.pipeline.generate import generate
from neurosparse.pipeline.kept_loop import KeptLoop
from neurosparse.pipeline.local_completion import LocalCompletion
from neurosparse.search.answers import Configurations, Parents, read_answer
from neurosparse.search.form import Form
from neurosparse.sparse import Decoder

LETTERS = '~!@0123456789,[]{}": abcdefghijklmnopqrstuvwxyz'
ROWS, PARENTS = Form("configurations", 5, 2, 2), Form("parents", 3, digits=1)
SHARED = "what all prompts of a batch begin with, a text that is long enough to be parted. "


@pytest.fixture
def loaded() -> LoadedModel:
    """Random weights, a token a character."""
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(LETTERS)}, []))
    core.decoder = decoders.Fuse()
    return LoadedModel(tiny_model(), PreTrainedTokenizerFast(tokenizer_object=core), "tiny")


def _of(loaded: LoadedModel, **more: Any) -> LocalCompletion:
    return LocalCompletion(loaded, "tiny", max_tokens=60, **more)


def test_random_weights_keep_to_a_form(loaded: LoadedModel) -> None:
    ask = _of(loaded)
    rows = read_answer(ask("rates", ROWS), Configurations).configurations
    assert [len(row) for row in rows] == [5, 5] and len({x for row in rows for x in row}) > 3
    assert len(read_answer(ask("choose", PARENTS), Parents).parents) == 3
    assert ask.last_usage == (len("choose" + PARENTS.opening), len("1, 2, 3]}"))
    free = _of(loaded, shaped=False)
    assert not free("rates", ROWS).startswith(ROWS.opening) and free.last_usage == (5, 60)


def test_a_vocabulary_without_brackets_is_left_free(loaded: LoadedModel) -> None:
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate("abcdefgh ")}, []))
    core.decoder = decoders.Fuse()
    poor = LoadedModel(loaded.model, PreTrainedTokenizerFast(tokenizer_object=core), "tiny")
    assert not _of(poor)("abc", PARENTS).startswith(PARENTS.opening)


def test_an_answer_depends_on_its_prompt_alone(loaded: LoadedModel) -> None:
    """A search that goes on after a kill asks the later prompts only."""
    prompts = [SHARED + "one", SHARED + "two", "another", SHARED + "one more that is longer"]
    kept = _of(loaded, seed=4)
    found = [kept(prompt, ROWS) for prompt in prompts]
    assert isinstance(kept._loop, KeptLoop) and isinstance(kept._loop._loop, Decoder)
    assert found == [_of(loaded, seed=4)(prompt, ROWS) for prompt in prompts]
    assert [kept(prompt, ROWS) for prompt in prompts[::-1]] == found[::-1]
    assert len(set(found)) == 4 and found != [_of(loaded, seed=5)(p, ROWS) for p in prompts]


def test_a_kept_loop_has_the_logits_of_the_model(loaded: LoadedModel) -> None:
    loop = KeptLoop(loaded.model, 256)
    first, second = torch.arange(90) % 40, torch.arange(90) % 40
    second[-5:] = 7
    seen: list[torch.Tensor] = []
    with torch.inference_mode():
        wanted = [loaded.model(input_ids=each[None]).logits[0, -1] for each in (first, second)]
    hook = loaded.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True)
    found = [loop.prefill(each[None]).clone() for each in (first, second, first)]
    hook.remove()
    torch.testing.assert_close(found, [*wanted, wanted[0]], rtol=1e-4, atol=1e-5)
    assert torch.equal(found[0], found[2])
    assert [each.shape[1] for each in seen] == [64], "what prompts share is read once"


def test_changed_weights_are_copied_anew(loaded: LoadedModel) -> None:
    ask = _of(loaded)
    before = ask(SHARED, ROWS)
    loop = ask._loop
    assert ask(SHARED, ROWS) == before and ask._loop is loop
    loaded.model.lm_head.weight.data.mul_(-30)  # behind the back of any counter
    after = ask(SHARED, ROWS)
    assert ask._loop is not loop and after == _of(loaded)(SHARED, ROWS) != before


class Script:
    """A loop that writes what it was given."""

    about = "script"

    def __init__(self, text: str) -> None:
        self.text = text

    def prefill(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.step(-1)

    def step(self, token: int) -> torch.Tensor:
        letter, self.text = self.text[0], self.text[1:]
        return torch.nn.functional.one_hot(torch.tensor(LETTERS.index(letter)), 100).float()


def test_a_free_answer_ends_with_its_object(loaded: LoadedModel) -> None:
    ask = _of(loaded, shaped=False)
    said = 'so: {"a": {}} then {"parents": [1, 2]}'
    found = generate(loaded.model, loaded.tokenizer, "x", loop=Script(said + " and so on and on"),
                     max_new_tokens=50, guide=ask._until_whole)
    assert (found.text, found.stopped, found.tokens) == (said, "guide", len(said))


def test_a_guide_chooses_among_the_likeliest_that_may_come(loaded: LoadedModel) -> None:
    def guide(tokens: Sequence[int]) -> Sequence[int] | None:
        return [[8, 9], None, []][len(tokens)]

    found = generate(loaded.model, loaded.tokenizer, "x", loop=Script("zz"), max_new_tokens=9,
                     guide=guide)
    assert found.text in ("5z", "6z") and found.stopped == "guide"
