"""Decoder: the model's own logits, token by token, for every family that it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as tf
from instruction_levels import in_parts
from sparse_cases import build
from structured.cases import rates

from neurosparse.errors import InputError, ModelError
from neurosparse.models import find_targets, get_weight, set_weight
from neurosparse.pruning.structured import prune_structured
from neurosparse.sparse import Decoder, TorchLoop, find_loop, load, register, save, save_uneven

COMMON: dict[str, Any] = {
    "vocab_size": 101, "hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
WINDOWED = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES = {
    "llama": lambda: tf.LlamaConfig(**COMMON),
    "llama with biases": lambda: tf.LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True),
    "mistral": lambda: tf.MistralConfig(**COMMON, sliding_window=6, head_dim=12),
    "qwen2": lambda: tf.Qwen2Config(**COMMON, tie_word_embeddings=True),
    "qwen3": lambda: tf.Qwen3Config(**COMMON, head_dim=20),
    "gemma2": lambda: tf.Gemma2Config(
        **COMMON, head_dim=12, sliding_window=5, layer_types=WINDOWED, query_pre_attn_scalar=12,
        attn_logit_softcapping=3.0, final_logit_softcapping=4.0),
    "gemma3": lambda: tf.Gemma3TextConfig(
        **COMMON, head_dim=12, sliding_window=5, layer_types=WINDOWED, query_pre_attn_scalar=12),
}


def model_of(family: str, dtype: torch.dtype = torch.float32) -> Any:
    """Random weights, norms away from one, two in five of the linears' weights there."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        model = tf.AutoModelForCausalLM.from_config(FAMILIES[family](), dtype=torch.float32)
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    for target in find_targets(model):
        weight = get_weight(model, target)
        set_weight(model, target, torch.where(torch.rand(weight.shape) < 0.4, weight, 0.0))
    return model.to(dtype).eval().requires_grad_(False)


def tokens(count: int) -> torch.Tensor:
    return torch.randint(3, 101, (1, count), generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("packed", [False, True])
def test_logits_are_the_models_own(family: str, packed: bool, level: str, tmp_path: Any) -> None:
    if level == "twin":
        pytest.skip("the decoder is compiled")
    model = model_of(family)
    if packed:
        save(model, tmp_path / "packed", values="fp32")
        model = load(tmp_path / "packed")
    decoder = Decoder(model, positions=24)
    ids = tokens(24)
    wanted = model(ids).logits[0]
    found = [decoder.prefill(ids[:, :9])]  # longer than the windows
    found += [decoder.step(token).clone() for token in ids[0, 9:].tolist()]
    error = (torch.stack(found) - wanted[8:]).abs().max() / wanted.abs().max()
    assert float(error) < 1e-4, level


@pytest.mark.parametrize(("values", "group"), [("int8", None), ("int8", 32), ("int4", 64)])
def test_whole_numbers_decode_as_the_model_does(values: str, group: int | None, level: str,
                                                tmp_path: Any) -> None:
    if level == "twin":
        pytest.skip("the decoder is compiled")
    save(model_of("llama"), tmp_path / "packed", values=values, group_size=group)
    model = load(tmp_path / "packed")
    decoder, ids = Decoder(model, positions=24), tokens(24)
    wanted = model(ids).logits[0]
    found = [decoder.prefill(ids[:, :9])]
    found += [decoder.step(token).clone() for token in ids[0, 9:].tolist()]
    error = (torch.stack(found) - wanted[8:]).abs().max() / wanted.abs().max()
    # The prompt goes through the product of many rows, tokens meet x in steps of 2^-16.
    assert float(error) < (3e-4 if in_parts(level) else 1e-4), level


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_half_models_agree_as_halves_do(family: str) -> None:
    model = model_of(family, torch.bfloat16)
    decoder = Decoder(model, positions=24)
    ids = tokens(24)
    wanted = model.float()(ids).logits[0, 8:]
    found = [decoder.prefill(ids[:, :9])]
    model.bfloat16()
    found = [decoder.prefill(ids[:, :9])]
    found += [decoder.step(token).clone() for token in ids[0, 9:].tolist()]
    assert float((torch.stack(found) - wanted).norm() / wanted.norm()) < 0.05


@pytest.mark.parametrize("heads", ["queries", "groups"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_blocks_of_different_widths_decode_as_the_model_does(family: str, heads: Any) -> None:
    model = model_of(family)
    prune_structured(model, rates(0.0, 0.4, 0.6), tokens(24), heads=heads, compensate="bias")
    widths = {(block.self_attn.q_proj.out_features, block.self_attn.k_proj.out_features,
               block.mlp.up_proj.out_features) for block in model.model.layers}
    assert len(widths) > 1  # the first block, whole, is the widest; scratch is sized by it
    decoder, ids = Decoder(model, positions=24), tokens(24)
    wanted = model(ids).logits[0]
    found = [decoder.prefill(ids[:, :9])]
    found += [decoder.step(token).clone() for token in ids[0, 9:].tolist()]
    error = (torch.stack(found) - wanted[8:]).abs().max() / wanted.abs().max()
    assert float(error) < 1e-4


@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_model_that_was_stored_takes_the_core_loop(packed: bool, tmp_path: Any) -> None:
    model = model_of("qwen3")
    # The last block is the widest here.
    prune_structured(model, rates(0.6, 0.4, 0.2), tokens(24))
    if packed:
        save(model, tmp_path / "cut", values="fp32")
    else:
        save_uneven(model, tmp_path / "cut")
    register()
    again = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    loop, torch_loop = find_loop(again, 24, "core"), TorchLoop(model)
    ids = tokens(12)
    assert torch.allclose(loop.prefill(ids), torch_loop.prefill(ids), atol=1e-4)
    for token in (5, 9, 30):
        assert torch.allclose(loop.step(token), torch_loop.step(token), atol=1e-3)


def test_greedy_continuation_is_that_of_transformers() -> None:
    model = model_of("llama")
    ids = tokens(7)
    wanted = model.generate(ids, max_new_tokens=20, do_sample=False, eos_token_id=None)[0, 7:]
    assert list(Decoder(model, positions=64).greedy(ids, 20)) == wanted.tolist()


def test_a_second_prompt_forgets_the_first() -> None:
    decoder = Decoder(model_of("gemma3"), positions=32)
    first = list(decoder.greedy(tokens(8), 10))
    list(decoder.greedy(tokens(20), 10))
    assert list(decoder.greedy(tokens(8), 10)) == first


def test_an_int8_head_is_nearly_the_head() -> None:
    model = model_of("llama")
    exact, rounded = Decoder(model, positions=16), Decoder(model, positions=16, head="int8")
    ids = tokens(5)
    exact.prefill(ids), rounded.prefill(ids)
    one, two = exact.step(7).clone(), rounded.step(7).clone()
    assert 0 < float((one - two).norm() / one.norm()) < 0.02
    assert rounded.nbytes < exact.nbytes


def test_bytes_are_those_of_the_weights() -> None:
    model = model_of("llama")
    linears = sum(target.size for target in find_targets(model))
    assert Decoder(model, positions=8).nbytes >= 4 * (linears + 101 * 48)


@pytest.mark.parametrize("family", ["gpt2", "opt", "mixtral", "gpt_neox"])
def test_other_families_are_refused_by_what_they_lack(family: str) -> None:
    with pytest.raises(ModelError, match="own generate"):
        Decoder(build(family), positions=16)


def test_a_model_that_computes_in_another_way_is_refused() -> None:
    config = tf.GraniteConfig(**COMMON, residual_multiplier=0.3, embedding_multiplier=2.0)
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ModelError, match="differ"):
        Decoder(model, positions=16)


def test_angles_that_change_with_the_length_are_refused() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    config = tf.LlamaConfig(**COMMON, rope_parameters=rope)
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ModelError, match="dynamic"):
        Decoder(model, positions=16)
    linear = tf.LlamaConfig(**COMMON, rope_parameters={**rope, "rope_type": "linear"})
    Decoder(tf.AutoModelForCausalLM.from_config(linear).eval(), positions=16)


def test_queries_that_grow_with_the_position_are_refused_where_they_do() -> None:
    rope = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "beta_fast": 32.0,
            "beta_slow": 1.0, "original_max_position_embeddings": 32,
            "llama_4_scaling_beta": 0.1, "mscale": 1.0, "mscale_all_dim": 1.0}
    config = tf.Ministral3Config(**COMMON, head_dim=12, rope_parameters=rope)
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    ids, decoder = tokens(32), Decoder(model, positions=32)
    decoder.prefill(ids[0, :20])
    found = torch.stack([decoder.step(token).clone() for token in ids[0, 20:].tolist()])
    with torch.inference_mode():
        torch.testing.assert_close(found, model(ids).logits[0, 20:], rtol=1e-4, atol=1e-4)
    with pytest.raises(ModelError, match="from 32 on, of 33"):
        Decoder(model, positions=33)
    rope["llama_4_scaling_beta"] = 0.0
    Decoder(tf.AutoModelForCausalLM.from_config(config).eval(), positions=33)


def test_logits_that_depend_on_the_place_are_refused() -> None:
    """Such as those of any model that scales by the position in a way not known here."""
    model = model_of("llama")
    rotary = model.model.rotary_emb
    told = type(rotary).forward

    def grown(self: Any, x: Any, position_ids: Any) -> Any:
        cosine, sine = told(self, x, position_ids)
        scale = 1 + 0.2 * (position_ids // 32)[..., None]
        return cosine * scale, sine * scale

    model.model.rotary_emb = type("Grown", (type(rotary),), {"forward": grown})(model.config)
    Decoder(model, positions=32)
    with pytest.raises(ModelError, match="from the beginning"):
        Decoder(model, positions=64)


def test_norms_without_weight_are_refused_in_words() -> None:
    config = tf.OlmoConfig(**COMMON)
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ModelError, match="OlmoLayerNorm"):
        Decoder(model, positions=16)
    assert isinstance(find_loop(model, 16), TorchLoop)


def test_what_does_not_fit_is_refused() -> None:
    decoder = Decoder(model_of("llama"), positions=13)
    with pytest.raises(InputError, match="14 tokens"):
        decoder.prefill(tokens(14))
    decoder.prefill(tokens(13))
    with pytest.raises(InputError, match="token 14"):
        decoder.step(5)
    with pytest.raises(InputError, match="head"):
        Decoder(model_of("llama"), head="int3")
    with pytest.raises(InputError, match="float16"):
        Decoder(model_of("llama", torch.float16))
