"""The loop of CUDA graphs: on a card; without one see tests/gpu/fake_card.py."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from neurosparse.errors import InputError, ModelError, NeurosparseError
from neurosparse.sparse import GraphLoop, TorchLoop, find_loop


def tiny() -> hf.PreTrainedModel:
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=101, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
    return hf.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


def test_it_is_for_cards_alone() -> None:
    model = tiny()
    with pytest.raises(NeurosparseError, match="found cpu; expected a model on a card"):
        find_loop(model, 20, "graph")
    with pytest.raises(InputError, match="core, graph, torch"):
        find_loop(model, 20, "graphs")
    assert not isinstance(find_loop(model, 20), GraphLoop)


def test_a_model_without_a_cache_of_keys_is_told() -> None:
    config = hf.MambaConfig(vocab_size=101, hidden_size=64, num_hidden_layers=2, state_size=8)
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ModelError, match="without a key-value cache"):
        TorchLoop(model).prefill(torch.arange(3, 9)[None])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_card(dtype: torch.dtype) -> None:
    model = tiny().to("cuda", dtype)
    loop, plain = find_loop(model, 40), TorchLoop(model)
    assert isinstance(loop, GraphLoop)
    for length in (5, 17):
        prompt = torch.arange(3, 3 + length)[None]
        left, right = loop.prefill(prompt), plain.prefill(prompt)
        for token in range(5, 20):
            torch.testing.assert_close(left, right, rtol=1e-2, atol=1e-2)
            left, right = loop.step(token), plain.step(token)
