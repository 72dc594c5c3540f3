"""The library and the GPU benchmarks on a card that is not there (tests/fake_cuda.py).

Run by test_gpu_benchmarks.py in a process of its own: torch must be told of a card before its first
backward pass, and cannot be told otherwise afterwards.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from fake_cuda import fake_cuda, install

from neurosparse import budgets, measure, sparse
from neurosparse.adaptation import TrainOptions, losa
from neurosparse.errors import InputError, NeurosparseError
from neurosparse.measure.damage import damage  # noqa: F401 (the module is patched below)
from neurosparse.models import find_targets
from neurosparse.pruning import METHODS, Refit, prune, round_model

sys.path.insert(0, str(Path(__file__).parent))
from gpu_scripts import NAMES, module

install()
TOKENS = torch.randint(3, 101, (6, 16), generator=torch.Generator().manual_seed(0))
BATCH = 4


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        module(name)  # what they import is imported outside
    with fake_cuda(monkeypatch):
        yield


def model_of(dtype: torch.dtype = torch.float32) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = hf.LlamaConfig(
            vocab_size=101, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
        return hf.AutoModelForCausalLM.from_config(config, dtype=dtype).eval(
            ).requires_grad_(False)


def half(model: Any) -> budgets.Budget:
    return budgets.allocate(measure.sizes_only(model), 0.5, rule="uniform")


def weights(model: Any) -> list[torch.Tensor]:
    return [parameter.detach().cpu() for parameter in model.parameters()]


def test_the_fake_refuses_what_a_card_refuses(card: None) -> None:
    there, here = torch.ones(2, 3, device="cuda"), torch.ones(2, 3)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        twice = there * 2
    there.fill_(5.0)
    graph.replay()
    assert twice.tolist() == [[10.0] * 3] * 2
    with pytest.raises(RuntimeError, match="capturing"), torch.cuda.graph(graph):
        float(there.sum())


@pytest.mark.parametrize(("method", "store"), [
    *((method, "device") for method in sorted(METHODS)), ("wanda", "memory")])
def test_pruning_is_that_of_the_cpu(method: str, store: str, card: None) -> None:
    model = model_of()
    budget, other = half(model), copy.deepcopy(model).to("cuda")
    prune(model, budget, TOKENS, method=method, batch_size=BATCH)
    report = prune(other, budget, TOKENS, method=method, batch_size=BATCH, store=store)
    assert report.sparsity == pytest.approx(0.5, abs=1e-4)
    if method != "alps":  # whose splitting turns a last bit into another mask
        for one, two in zip(weights(model), weights(other), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mask", ["along", "fixed", "chosen"])
def test_refits_and_rounding(mask: str, card: None) -> None:
    model = model_of().to("cuda")
    prune(model, half(model), TOKENS, refit=Refit(mask=mask), batch_size=BATCH, store="device")
    round_model(model, TOKENS, batch_size=BATCH, store="device")
    assert np.isfinite(measure.perplexity(model, TOKENS).value)


# Forward derivatives do not go through the fake's tensors.
@pytest.mark.parametrize("name", sorted({*measure.known_evidence()} - {"exponents"}))
def test_evidence_is_that_of_the_cpu(name: str, card: None) -> None:
    plain, model = model_of(), model_of().to("cuda")
    wanted = measure.profile(plain, TOKENS, evidence=_own(name), batch_size=BATCH)
    found = measure.profile(model, TOKENS, evidence=_own(name), batch_size=BATCH, store="device")
    if name == "curves":
        np.testing.assert_allclose(found.curves.error, wanted.curves.error, rtol=1e-3)
        return
    for key, value in wanted.evidence[name].items():
        np.testing.assert_allclose(found.evidence[name][key], value, rtol=2e-2, atol=1e-5)


def _own(name: str) -> list[Any]:
    """The evidence with products in the model's type: in bfloat16 nothing would be equal."""
    if name not in ("propagation", "progression"):
        return [name]
    made = getattr(measure, f"{name.title()}Collector")
    return [made(0.7, products="own")]


@pytest.mark.parametrize("store", ["memory", "device"])
def test_damage_block_by_block_repeats_bit_for_bit(
    store: str, card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["neurosparse.measure.damage"], "_GRAPH_BYTES", 0)
    model = model_of().to("cuda")
    first, second = (
        measure.profile(model, TOKENS, evidence=_own("propagation"), batch_size=BATCH, store=store)
        .evidence["propagation"] for _ in range(2))
    wanted = measure.profile(model_of(), TOKENS, evidence=_own("propagation"), batch_size=BATCH)
    for key, value in wanted.evidence["propagation"].items():
        np.testing.assert_array_equal(first[key], second[key])
        np.testing.assert_allclose(first[key], value, rtol=1e-3, atol=1e-6)


def packed_on_card() -> Any:
    model = model_of()
    prune(model, half(model), TOKENS, batch_size=BATCH)
    for target in find_targets(model):
        linear = model.get_submodule(target.name)
        model.set_submodule(target.name, sparse.SparseLinear(sparse.pack(linear.weight)))
    return model.to("cuda")


def test_a_graph_writes_what_the_model_writes(card: None) -> None:
    model, prompt = packed_on_card(), TOKENS[:1].to("cuda")
    loop = sparse.find_loop(model, 40)
    assert isinstance(loop, sparse.GraphLoop)
    plain = sparse.find_loop(model, 40, "torch")
    graphs = []
    for read in (prompt, prompt[:, 3:9]):  # of one graph over one cache
        left, right = loop.prefill(read), plain.prefill(read)
        for token in range(5, 12):
            torch.testing.assert_close(left.cpu(), right.cpu(), rtol=1e-3, atol=1e-5)
            left, right = loop.step(token), plain.step(token)
        graphs.append(loop._graph)
    assert graphs[0] is not None and graphs[0] is graphs[1]
    loop.prefill(TOKENS.reshape(1, -1)[:, :39])
    loop.step(1)
    with pytest.raises(InputError, match="at most 40"):
        loop.step(1)


def packed_layers(values: str) -> tuple[sparse.SparseLinear, sparse.SparseLinear]:
    """The same on the CPU and on the card; entries that are kept and zero, and gaps of 16 too."""
    weight = torch.randn(24, 200, generator=torch.Generator().manual_seed(1))
    keep = torch.rand(24, 200, generator=torch.Generator().manual_seed(2)) < 0.1
    weight[::4], keep[::4] = 0.0, False
    keep[::4, ::17] = True
    here = sparse.SparseLinear(sparse.pack(weight, mask=keep, values=values))
    return here, copy.deepcopy(here).to("cuda")


@pytest.mark.parametrize("values", ["bf16", "int8"])
def test_a_card_keeps_one_order_and_gives_the_values_back(card: None, values: str) -> None:
    here, there = packed_layers(values)
    x = torch.randn(3, 200, dtype=torch.bfloat16)
    wanted = here(x)
    with torch.inference_mode():
        for _ in range(2):
            torch.testing.assert_close(there(x.to("cuda")).cpu(), wanted, rtol=1e-2, atol=1e-2)
        assert there._buffers["values"] is None and there.release()
        assert f"values={values}" in repr(there) and there._buffers["values"] is None
        there(torch.randn(40, 200, dtype=torch.bfloat16).to("cuda"))
        assert there._buffers["values"] is None
    order = there.views().made["gaps"]
    assert torch.equal(there.values.cpu(), here.values)
    assert there.views().made["gaps"] is order  # not made again
    there.values.neg_()
    assert there.views().made.get("gaps") is not order  # that is not its order any more
    torch.testing.assert_close(there(x.to("cuda")).cpu(), -wanted, rtol=1e-2, atol=1e-2)


def test_what_a_card_let_go_of_is_saved_moved_copied_and_learnt(card: None) -> None:
    here, there = packed_layers("bf16")

    def released() -> sparse.SparseLinear:
        assert there.release() and there._buffers["values"] is None
        return there

    assert torch.equal(released().state_dict()["values"].cpu(), here.values)
    assert torch.equal(copy.deepcopy(released()).values.cpu(), here.values)
    assert torch.equal(released().to("cpu").values, here.values)
    there.to("cuda")
    released().refresh()
    assert torch.equal(there.packed().values.cpu(), here.values)
    released().load_state_dict({name: one.to("cuda") for name, one in here.state_dict().items()})
    assert torch.equal(there.values.cpu(), here.values)
    other = sparse.SparseLinear(sparse.pack(torch.eye(24, 200)))
    released().load_state_dict({name: one.to("cuda") for name, one in other.state_dict().items()})
    assert torch.equal(there.to_dense(), torch.eye(24, 200))
    x = torch.randn(3, 200).to("cuda").requires_grad_()
    released()(x).sum().backward()
    gradient = torch.eye(24, 200).sum(0).expand(3, 200)
    assert x.grad is not None and torch.equal(x.grad.cpu(), gradient)
    learning = released().learn()
    there(x).sum().backward()
    assert learning.grad is not None and not there.release()


def test_a_graph_that_would_write_something_else_is_refused(
    card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = packed_on_card(), []
    forward = model.forward

    def counting(**given: Any) -> Any:
        calls.append(1)  # Python is not in the graph
        out = forward(**given)
        out.logits = out.logits * len(calls)
        return out

    monkeypatch.setattr(model, "forward", counting)
    with pytest.raises(NeurosparseError, match="apart"):
        sparse.find_loop(model, 40, "graph")
    assert isinstance(sparse.find_loop(model, 40), sparse.TorchLoop)

    def looking(**given: Any) -> Any:
        out = forward(**given)
        float(out.logits.sum())  # waits for the card
        return out

    monkeypatch.setattr(model, "forward", looking)
    with pytest.raises(NeurosparseError, match="captured"):
        sparse.find_loop(model, 40, "graph")


def test_layers_that_attend_to_a_window_see_no_more_in_a_graph(card: None) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = hf.Gemma3TextConfig(
            vocab_size=101, hidden_size=64, intermediate_size=128, num_hidden_layers=3, head_dim=16,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            sliding_window=4,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"])
        model = hf.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False).to("cuda")
    loop, plain = sparse.find_loop(model, 40), sparse.TorchLoop(model)
    assert isinstance(loop, sparse.GraphLoop)
    for length in (2, 9):
        read = TOKENS[:1, :length].to("cuda")
        left, right = loop.prefill(read), plain.prefill(read)
        for token in range(5, 15):
            torch.testing.assert_close(left.cpu(), right.cpu(), rtol=1e-3, atol=1e-4)
            left, right = loop.step(token), plain.step(token)


def test_caches_of_other_kinds_have_no_graph(card: None) -> None:
    config = hf.Qwen3NextConfig(
        vocab_size=101, hidden_size=64, intermediate_size=128, num_hidden_layers=2, head_dim=16,
        num_attention_heads=4, num_key_value_heads=2, num_experts=0, linear_num_value_heads=4,
        linear_num_key_heads=2, linear_key_head_dim=16, linear_value_head_dim=16,
        layer_types=["linear_attention", "full_attention"])
    model = hf.AutoModelForCausalLM.from_config(config).eval().to("cuda")
    with pytest.raises(NeurosparseError, match="LinearAttentionLayer"):
        sparse.GraphLoop(model, positions=20)
    with pytest.raises(NeurosparseError, match="cpu"):
        sparse.GraphLoop(model_of(), positions=20)


@pytest.mark.parametrize("update", ["low-rank", "values"])
@pytest.mark.parametrize("regrow", [False, True])
def test_losa_goes_on_where_it_was(update: str, regrow: bool, card: None, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "calibration": TOKENS[:4], "sparsity": 0.6, "steps": 2, "update": update, "regrow": regrow,
        "windows": 4, "every": 1, "rank": 2, "most": 4, "batch_size": BATCH,
        "ranks": "equal" if update == "values" else "error",
        "train": TrainOptions(batch_size=1, distill=0.5, dtype=torch.bfloat16)}
    dense = model_of().to("cuda")
    whole = losa(copy.deepcopy(dense), TOKENS, **options)

    class Stop(Exception):
        pass

    def watch(info: dict[str, Any]) -> None:
        if info["step"] == 4:
            raise Stop

    with pytest.raises(Stop):
        losa(copy.deepcopy(dense), TOKENS, folder=tmp_path / "run", watch=watch, **options)
    again = losa(copy.deepcopy(dense), TOKENS, folder=tmp_path / "run", resume=True, **options)
    np.testing.assert_allclose(again.losses, whole.losses, rtol=1e-4)


def test_losa_of_ours_on_a_bfloat16_model(card: None) -> None:
    model = model_of(torch.bfloat16).to("cuda")
    done = losa(model, TOKENS, calibration=TOKENS[:4], sparsity=0.6, steps=2, rule="propagation",
                ranks="damage", refit=0.3, windows=4, rank=2, most=4, batch_size=BATCH,
                train=TrainOptions(batch_size=1))
    assert done.sparsity == pytest.approx(0.6, abs=1e-3)
    assert all(np.isfinite(done.losses))


@pytest.mark.parametrize("values", ["bf16", "int8"])
def test_a_packed_model_reads_and_writes(values: str, card: None, tmp_path: Path) -> None:
    model = model_of(torch.bfloat16)
    prune(model, half(model), TOKENS, batch_size=BATCH)
    sparse.save(model, tmp_path / "packed", values=values)
    packed = sparse.load(tmp_path / "packed").to("cuda")
    twin = measure.dense_twin(packed)
    with torch.inference_mode():
        one, two = (each(input_ids=TOKENS[:2].to("cuda")).logits.float() for each in (packed, twin))
    assert float((one - two).norm() / two.norm()) < 2e-2
    written = sparse.find_loop(packed, 24)
    token = int(written.prefill(TOKENS[:1]).argmax())
    assert written.step(token).shape == (101,)
    assert measure.generation_speed(packed, TOKENS[:1], steps=2, repeats=1).decode > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_script(name: str, card: None) -> None:
    where = module("card").Where(small=True)
    rows = module(name).measure(where)
    assert where.on_card and rows
    assert all(row.error is None or row.error < 2e-2 for row in rows)
    assert module("card").as_json(where, rows)["card"] == "no card (fake)"
