"""The comparison with peers: the weights they share, the models, the turns, and what can fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peers import llama, setup, stack
from peers.gguf_model import Rounded
from peers.process import PeerFailed, Worker
from peers.questions import GROUPS, LIMITS, QUESTIONS, limit
from peers.tiles import block_tiles
from peers.turns import Question, Row, answer, edge_of, ratio
from peers.weights import PARTS, STEP, Shape, Weights

SHAPE = Shape(256, 384)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return Weights(tmp_path_factory.mktemp("peers"), SHAPE)


def options(weights: Weights) -> dict[str, Any]:
    return {"folder": str(weights.folder), "width": SHAPE.width, "inner": SHAPE.inner,
            "blocks": 2, "threads": 1, "stream": 0}


def test_weights_are_exact_in_every_kind(weights: Weights) -> None:
    for part in PARTS:
        integers, floats = weights.integers(part, 1), weights.floats(part, 1)
        assert floats.shape == SHAPE.of(part)
        assert np.array_equal(floats * 2.0 ** weights.exponent(part), integers)
        assert np.array_equal(torch.from_numpy(floats).bfloat16().float().numpy(), floats)
        assert np.array_equal(floats.astype(np.float16).astype(np.float32), floats)
        assert abs((floats == 0).mean() - 0.7) < 0.02
        assert np.array_equal(weights.turned(part, 1, "fp32"), floats.T)


def test_blocks_are_not_equal_and_a_second_opening_reads_the_first(weights: Weights) -> None:
    again = Weights(weights.folder, SHAPE, seed=9)
    for part in PARTS:
        assert np.array_equal(again.integers(part, 0), weights.integers(part, 0))
        assert not np.array_equal(weights.integers(part, 0), weights.integers(part, 1))


@pytest.mark.parametrize("kind", ["bf16", "int8", "fp32"])
@pytest.mark.parametrize("packed", [True, False])
def test_moved_tiles_hold_the_moved_rows(weights: Weights, kind: str, packed: bool) -> None:
    first = block_tiles(weights, kind, packed, 0)
    third = block_tiles(weights, kind, packed, 2, first)
    x = np.random.default_rng(1).standard_normal((1, SHAPE.inner), dtype=np.float32)
    for part, tiles in third.items():
        plain = x[:, : tiles.shape[1]].copy()
        want = plain @ weights.floats(part, 2).T
        assert np.linalg.norm(tiles.matvec(plain) - want) < 0.01 * np.linalg.norm(want)
        assert np.shares_memory(tiles.values, first[part].values) is False


def test_the_decoded_model_is_llama(weights: Weights) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=SHAPE.width, intermediate_size=SHAPE.inner, num_hidden_layers=2,
        num_attention_heads=SHAPE.heads, num_key_value_heads=SHAPE.heads,
        vocab_size=llama.VOCABULARY, rms_norm_eps=llama.EPSILON, tie_word_embeddings=False)
    model = transformers.LlamaForCausalLM(config).eval()
    named = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
             "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
             "down": "mlp.down_proj"}
    embedding, head = llama.ends(SHAPE)
    text = llama.tokens(9)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.from_numpy(embedding))
        model.lm_head.weight.copy_(torch.from_numpy(head))
        for block, layer in enumerate(model.model.layers):
            for part, name in named.items():
                layer.get_submodule(name).weight.copy_(
                    torch.from_numpy(weights.floats(part, block)))
        want = model(torch.tensor([text])).logits[0, -1].numpy()
    assert np.allclose(llama.reference(weights, 2, text), want, atol=1e-3 * np.abs(want).max())


@pytest.mark.parametrize(("kind", "share"), [("Q8_0", 0.01), ("Q4_0", 0.12)])
def test_rounded_weights_move_like_the_others(weights: Weights, kind: str, share: float) -> None:
    rounded = Rounded(weights, kind)
    for part in PARTS:
        want = weights.floats(part, 1)
        assert np.linalg.norm(rounded.floats(part, 1) - want) < share * np.linalg.norm(want)
        assert len(rounded.bits(part, 1)) == len(want)
        assert np.array_equal(rounded.bits(part, 1)[0], rounded.bits(part, 0)[STEP % len(want)])


@pytest.mark.parametrize("module", ["on_ours", "on_torch"])
def test_workers_compute_the_stack(weights: Weights, module: str, tmp_path: Path) -> None:
    """And a failing case is an answer; a dead peer says why."""
    want = stack.reference(weights, 2)[0][-1]
    worker = Worker(sys.executable, module, options(weights), tmp_path / "log")
    try:
        with pytest.raises(PeerFailed, match="KeyError"):
            worker.ask({"do": "make", "case": "int3", "out": ""}, 60)
        for case in worker.cases:
            said = worker.ask({"do": "make", "case": case, "out": str(tmp_path / "y.npy")}, 60)
            found = np.load(tmp_path / "y.npy")
            assert np.linalg.norm(found - want) < limit("", case) * np.linalg.norm(want)
            assert said["nbytes"] > 0.3 * 2 * SHAPE.size
            assert len(worker.ask({"do": "run", "case": case, "calls": 3}, 60)["seconds"]) == 3
    finally:
        worker.close()
    with pytest.raises(PeerFailed, match="process ended"):
        worker.ask({"do": "run", "case": worker.cases[0], "calls": 1}, 60)


def test_our_decoder_computes_the_model(weights: Weights, tmp_path: Path) -> None:
    want = llama.reference(weights, 2, llama.tokens(llama.CHECKED))
    worker = Worker(sys.executable, "on_ours_decode", options(weights), tmp_path / "log")
    try:
        for case in ("sparse int8", "dense bf16"):
            worker.ask({"do": "make", "case": case, "out": str(tmp_path / "y.npy")}, 60)
            found = np.load(tmp_path / "y.npy")
            assert np.linalg.norm(found - want) < limit("", case) * np.linalg.norm(want)
    finally:
        worker.close()


def test_a_peer_that_does_not_start_says_why(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(PeerFailed, match="No module named"):
        Worker(sys.executable, "on_nothing", options(weights), tmp_path / "log")


def test_what_is_not_installed_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup, "BUILD", tmp_path)
    monkeypatch.setitem(setup.PEERS, "old", setup.Peer(("old==1",), "old", ("9.9",)))
    assert "not installed" in str(setup.why_not("old"))
    assert "needs Python 9.9" in str(setup.install("old"))
    assert setup.why_not("old") == "needs Python 9.9, which is not here"


def row(case: str, times: list[float], memory: list[float], **more: Any) -> Row:
    turns = {at: (one, speed, speed) for at, (one, speed) in enumerate(zip(times, memory,
                                                                          strict=True))}
    return Row("group", "peer", case, 2, turns=turns, **more)


def test_ratios_are_of_one_round_in_one_mode_and_of_the_fastest() -> None:
    memory = [10.0, 40.0, 10.0, 40.0]
    ours = row("ours", [4.0, 1.0, 4.0, 1.0], memory)
    slow = row("slow", [12.0, 3.5, 12.0, 3.5], memory)
    fast = row("fast", [8.0, 1.5, 8.0, 1.5], memory)
    rows = [ours, slow, fast]
    edge = edge_of(rows)
    assert ratio(ours, slow, "narrow", edge) == 3
    assert ratio(ours, slow, "wide", edge) == 3.5
    asked = Question("?", "group", "peer ours", ("peer slow", "peer fast"), 1.8)
    said = [answer(asked, rows, mode, edge) for mode in ("narrow", "wide")]
    assert [(one["ratio"], one["fastest other"], one["reached"]) for one in said if one] == [
        (2.0, "peer fast", True), (1.5, "peer fast", False)]
    # Where the fastest was never seen in a mode, another must not stand in for it.
    del fast.turns[1], fast.turns[3]
    assert answer(asked, rows, "wide", edge) is None


def test_wrong_and_absent_cases_have_no_ratio_and_say_so() -> None:
    ours = row("ours", [1.0, 1.0], [9.0, 9.0])
    wrong = row("other", [9.0, 9.0], [9.0, 9.0], wrong=True)
    asked = Question("?", "group", "peer ours", ("peer other",))
    said = answer(asked, [ours, wrong], "one", None)
    assert said is not None and said["ratio"] is None and "wrong output" in said["why"]
    gone = Row("group", "peer", "other", 2, failed="needs Python 9.9")
    said = answer(asked, [ours, gone], "one", None)
    assert said is not None and said["ratio"] is None and "needs Python 9.9" in said["why"]


def test_questions_name_rows_that_exist() -> None:
    for question in QUESTIONS:
        rows = {f"{peer} {case}" for peer, case in GROUPS[question.group]}
        assert {question.ours, *question.others} <= rows
    for cases in GROUPS.values():
        assert all(limit(peer, case) in LIMITS.values() for peer, case in cases)
