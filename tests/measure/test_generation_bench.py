"""Bytes a step reads, the dense twin, memory modes, and models that take turns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from torch import nn

import neurosparse as ns
from neurosparse.errors import InputError, ModelError
from neurosparse.measure import Turn, mode_edge, mode_of, summarise

G = 1e9


def _pruned(model: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        weight[torch.rand(weight.shape, generator=generator) < 0.7] = 0
    return model


def _mixture() -> nn.Module:
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    config = MixtralConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=100, num_local_experts=4, num_experts_per_tok=2)
    return MixtralForCausalLM(config).eval().requires_grad_(False)


def _gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=100, n_positions=64,
                        bos_token_id=1, eos_token_id=2)
    return GPT2LMHeadModel(config).eval().requires_grad_(False)


@pytest.mark.parametrize("make", [tiny_model, _mixture, _gpt2])
def test_the_dense_twin_is_the_model_that_was_packed(make, tmp_path: Path) -> None:
    model = _pruned(make())
    ns.sparse.save(model, tmp_path / "p", values="fp32")
    packed = ns.sparse.load(tmp_path / "p")
    twin = ns.measure.dense_twin(packed)
    for name, weight in model.state_dict().items():
        assert torch.equal(twin.state_dict()[name], weight), name
    tokens = torch.arange(3, 20)[None]
    assert torch.allclose(twin(tokens).logits, model(tokens).logits, atol=1e-6)
    # What is not packed is not copied, and the packed model is as it was.
    assert twin.get_input_embeddings().weight is packed.get_input_embeddings().weight
    assert ns.measure.decode_bytes(packed)["packed"] > 0
    twin.save_pretrained(tmp_path / "d")
    again = ns.models.load(tmp_path / "d").model
    assert torch.allclose(again(tokens).logits, model(tokens).logits, atol=1e-6)
    with pytest.raises(ModelError, match="without packed"):
        ns.measure.dense_twin(twin)


def test_bytes_of_a_step_counted_by_hand(tmp_path: Path) -> None:
    model = _pruned(tiny_model())
    found = ns.measure.decode_bytes(model)
    # 3 blocks of q 64x64, k and v 32x64, o 64x64, gate, up and down 128x64; two norms each.
    block = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 128 * 64 + 2 * 64
    assert found["head"] == 4 * 100 * 64
    assert found["dense"] == 4 * (3 * block + 64 + 64)  # the last norm, one row of the embedding
    assert found["all"] == found["head"] + found["dense"] and found["packed"] == 0
    sizes = ns.sparse.save(model, tmp_path / "p", values="bf16")
    packed = ns.measure.decode_bytes(ns.sparse.load(tmp_path / "p", dtype="bfloat16"))
    assert packed["packed"] == sizes["packed"]
    assert packed["dense"] == 2 * (3 * 2 * 64 + 64 + 64)


def test_a_tied_head_is_read_whole_and_a_mixture_in_part(tmp_path: Path) -> None:
    gpt2 = ns.measure.decode_bytes(_gpt2())
    assert gpt2["head"] == 4 * 100 * 64
    experts = 2 * 4 * (4 * 128 * 64 + 4 * 64 * 64)  # two blocks, four experts
    whole = _mixture()
    others = sum(p.nbytes for n, p in whole.named_parameters()
                 if "experts" not in n and "embed" not in n and "lm_head" not in n)
    assert ns.measure.decode_bytes(whole)["dense"] == others + experts // 2 + 4 * 64
    sizes = ns.sparse.save(_pruned(whole), tmp_path / "m", values="fp32")
    packed = ns.sparse.load(tmp_path / "m")
    told = ns.measure.decode_bytes(packed)["packed"]
    assert sizes["packed"] / 2 < told < sizes["packed"]


def test_modes_are_told_apart_by_a_gap_in_the_readings() -> None:
    assert mode_edge([]) is None and mode_edge([80, 70, 65]) is None
    # One reading that something disturbed is no mode, nor are halves of one mode.
    assert mode_edge([38, 37, 39, 38, 27, 38, 36]) is None
    assert mode_edge([30, 32, 34, 36, 38, 40]) is None
    edge = mode_edge([80, 44, 78, 46, 76])
    assert edge is not None and 46 < edge < 76
    assert mode_of((80, 78), edge) == "wide" and mode_of((44, 46), edge) == "narrow"
    assert mode_of((80, 44), edge) is None and mode_of((80, 44), None) == "one"


def test_ratios_are_of_pairs_within_a_mode() -> None:
    def decode(who: str, number: int, seconds: float, mode: float) -> Turn:
        return Turn(who, "decode", number, (seconds,), mode * G, mode * G)

    turns = [decode("a", 0, 1.0, 80), decode("b", 0, 2.0, 80),  # wide: 2
             decode("a", 1, 2.0, 40), decode("b", 1, 6.0, 40),  # narrow: 3
             decode("a", 2, 1.0, 80), decode("b", 2, 6.0, 40)]  # of two modes: no ratio
    found = {one.mode: one for one in summarise(turns, prompt=9, moved={"a": 20 * 10**9, "b": 1})}
    assert found["wide"].ratio.median == 2 and found["narrow"].ratio.median == 3
    assert found["wide"].ratio.count == found["narrow"].ratio.count == 1
    assert found["wide"].speed["a"].median == 1.0 and found["narrow"].speed["b"].median == 1 / 6
    assert found["wide"].share["a"].median == 0.25
    changing = Turn("a", "decode", 0, (1.0,), 80 * G, 40 * G)
    assert [one.mode for one in summarise([*turns[2:4], changing, changing], prompt=9,
                                          moved={"a": 1, "b": 1})] == ["narrow"]


def test_two_models_take_turns(tmp_path: Path) -> None:
    ns.sparse.save(_pruned(tiny_model()), tmp_path / "p")
    packed = ns.sparse.load(tmp_path / "p", dtype="bfloat16")
    twin = ns.measure.dense_twin(packed)
    tokens, threads = torch.arange(3, 19)[None], torch.get_num_threads()
    found = ns.measure.compare_generation(packed, twin, tokens, steps=5, rounds=2, threads=1,
                                          probe=ns.measure.ReadProbe(1 << 20))
    assert [(t.who, t.kind, t.round) for t in found.turns[:4]] == [
        ("packed", "prefill", 0), ("dense", "prefill", 0), ("packed", "decode", 0),
        ("dense", "decode", 0)]
    assert len(found.turns) == 8 and found.steps == 6 and found.threads == 1
    assert all(len(t.seconds) == 3 and min(t.seconds) > 0
               for t in found.turns if t.kind == "decode")
    assert torch.get_num_threads() == threads
    assert found.moved["packed"]["all"] < found.moved["dense"]["all"]
    assert set(found.as_dict()["python"]) == {"packed", "dense"}
    for parts in found.parts.values():
        assert all(seconds > 0 for seconds in parts.values())
        assert set(parts) == {"linears", "head", "rest", "all"}
    alone = ns.measure.compare_generation(twin, None, tokens, steps=2, rounds=2,
                                          names=("dense", ""), probe=ns.measure.ReadProbe(1 << 20))
    assert {turn.who for turn in alone.turns} == {"dense"}
    assert all(one.ratio is None for one in alone.summaries)
    for wrong in ({"steps": 1, "rounds": 2}, {"rounds": 0}, {"threads": 0}):
        with pytest.raises(InputError):
            ns.measure.compare_generation(packed, twin, tokens, **wrong)
    with pytest.raises(InputError, match="prompt"):
        ns.measure.compare_generation(packed, twin, tokens[0])


@pytest.mark.parametrize("loop", ["torch", "core"])
def test_both_loops_write_the_same(loop: str) -> None:
    model = tiny_model()
    prompt = torch.arange(3, 12)[None]
    wanted = model.generate(prompt, max_new_tokens=6, do_sample=False, eos_token_id=None)[0, 9:]
    found = ns.sparse.find_loop(model, 16, loop)
    tokens = [int(found.prefill(prompt).argmax())]
    for _ in range(5):
        tokens.append(int(found.step(tokens[-1]).argmax()))
    assert tokens == wanted.tolist() and loop in found.about


def test_a_model_of_another_family_takes_the_torch_loop() -> None:
    assert isinstance(ns.sparse.find_loop(_mixture(), 16), ns.sparse.TorchLoop)
    with pytest.raises(ns.errors.ModelError):
        ns.sparse.find_loop(_mixture(), 16, "core")
    with pytest.raises(InputError, match="fast"):
        ns.sparse.find_loop(tiny_model(), 16, "fast")


def test_a_dense_model_that_memory_holds_only_once_is_not_copied(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ns.sparse.loops, "_free_memory", lambda: 1000.0)
    assert isinstance(ns.sparse.find_loop(tiny_model(), 16), ns.sparse.TorchLoop)
    assert isinstance(ns.sparse.find_loop(tiny_model(), 16, "core"), ns.sparse.Decoder)


def test_the_torch_loop_can_be_asked_for() -> None:
    found = ns.measure.compare_generation(
        tiny_model(), None, torch.arange(3, 9)[None], steps=2, rounds=1, names=("dense", ""),
        loop="torch", probe=ns.measure.ReadProbe(1 << 20))
    assert found.loop.startswith("torch loop") and found.parts["dense"]["linears"] > 0


def test_parts_of_a_step_add_up_and_leave_no_hook(tmp_path: Path) -> None:
    ns.sparse.save(_pruned(_mixture()), tmp_path / "p", values="fp32")
    model = ns.sparse.load(tmp_path / "p")
    found = ns.measure.decode_parts(model, torch.arange(3, 9)[None], steps=1)
    assert found["all"] == pytest.approx(found["linears"] + found["head"] + found["rest"])
    assert min(found.values()) > 0
    assert not any(module._forward_hooks or module._forward_pre_hooks
                   for module in model.modules())
