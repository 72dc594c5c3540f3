"""Whole blocks: what is left is the dense model without them.

That the stock class loads it in a fresh process is seen in ``test_structured_reload.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.families import build, relative_error, tokens
from structured.cases import DENSE, MIXTURES, logits, rates
from transformers import AutoModelForCausalLM

from neurosparse.errors import InputError, ModelError
from neurosparse.pruning.structured import (
    block_influence,
    drop_blocks,
    least_influence,
    prune_structured,
)
from neurosparse.sparse import save_uneven


@pytest.mark.parametrize("family", [*DENSE, *MIXTURES])
@pytest.mark.parametrize("gone", [[1], [0, 1]])
def test_what_is_left_is_the_dense_model_without_them(family: str, gone: list[int]) -> None:
    model, reference = build(family), build(family)
    for index in gone:  # a block that hands on what it gets
        reference.model.layers[index].forward = lambda hidden, *_a, **_k: hidden
    drop_blocks(model, gone)
    assert len(model.model.layers) == 3 - len(gone)
    # Each block that is left keeps the kind of attention that it had.
    assert relative_error(logits(model, tokens()), logits(reference, tokens())) < 1e-6
    written = [model.generate(tokens()[:1, :5], max_new_tokens=4, do_sample=False, use_cache=cache)
               for cache in (True, False)]
    assert torch.equal(*written)


def test_blocks_first_and_units_after(tmp_path: Path) -> None:
    import neurosparse as ns

    model = build("llama")
    drop_blocks(model, [1])
    prune_structured(model, rates(0.3, 0.5), tokens())
    save_uneven(model, tmp_path / "cut")
    ns.register()
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    assert relative_error(logits(again, tokens()), logits(model, tokens())) < 1e-6
    with pytest.raises(ModelError, match="cut already"):
        drop_blocks(model, [0])


def test_influence_by_the_formula() -> None:
    model, text = build("qwen2"), tokens()
    with torch.no_grad():
        states = model(text, output_hidden_states=True).hidden_states
    found = block_influence(model, text, batch_size=3)
    for index in range(2):  # the last state has the final norm in it
        x, y = states[index].double(), states[index + 1].double()
        cosine = (x * y).sum(-1) / x.norm(dim=-1) / y.norm(dim=-1)
        assert found[index] == pytest.approx(1 - float(cosine.mean()), abs=1e-5)
    model.model.layers[1].forward = lambda hidden, *_a, **_k: 2 * hidden
    assert block_influence(model, text)[1] == pytest.approx(0, abs=1e-5)
    assert least_influence([0.3, 0.1, 0.2, 0.1], 3) == [1, 2, 3]


@pytest.mark.parametrize("gone", [[3], [0, 0], [0, 1, 2], [-1]])
def test_blocks_that_cannot_go(gone: list[int]) -> None:
    model = build("llama")
    with pytest.raises(InputError, match="0 to 2"):
        drop_blocks(model, gone)
    with pytest.raises(InputError, match="3 of 3"):
        least_influence([0.1] * 3, 3)
    assert len(model.model.layers) == 3
