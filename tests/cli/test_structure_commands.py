"""``prune --structured`` and ``search``: from a model on the disk to a smaller one that loads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runner import files, linked, refused, run
from models.families import build
from safetensors.torch import load_file
from tiny import tiny_model, tiny_text, tiny_tokenizer, write_tiny
from transformers import AutoModelForCausalLM

import neurosparse as ns
from neurosparse.models import ModelSource, find_targets, get_weight
from neurosparse.pipeline import (
    Recovery,
    RecoveryOptions,
    StepOptions,
    StructuredOptions,
    structured_cost,
)
from neurosparse.pipeline.local_completion import LocalCompletion
from neurosparse.pipeline.stored import kind_of_source, round_to
from neurosparse.pipeline.structured_fitness import StructuredFitness
from neurosparse.pruning.structured import find_groups, make_ladders, structured_scores


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and two texts that no test changes."""
    folder = tmp_path_factory.mktemp("structure")
    write_tiny(folder / "model", blocks=3)
    (folder / "one.txt").write_text(tiny_text(6000))
    (folder / "two.txt").write_text(tiny_text(6000, seed=1))
    return folder


@pytest.fixture
def place(shared: Path, tmp_path: Path) -> Path:
    """A folder of the test's own, with links to what is shared."""
    return linked(shared, tmp_path, "model", "one.txt", "two.txt")


def _search(place: Path, *more: str) -> list[str]:
    return ["search", str(place / "model"), "--rate", "0.3", "--evaluations", "8", "--windows",
            "2", "--window-length", "32", "--calibration-windows", "4", "--calibration",
            str(place / "one.txt"), "--selection", str(place / "two.txt"), "--out",
            str(place / "found"), *more]


def _cut(place: Path, *more: str) -> list[str]:
    return ["prune", str(place / "model"), "--structured", "--calibration",
            str(place / "one.txt"), "--windows", "4", "--window-length", "32", "--out",
            str(place / "cut"), *more]


def test_cut_reloads_and_generates(place: Path) -> None:
    done = run(*_cut(place, "--rate", "0.3", "--export", "even"))
    assert done.code == 0, done.err
    record = json.loads((place / "cut" / "run.json").read_text())["results"]
    dense = AutoModelForCausalLM.from_pretrained(place / "model")
    ns.register()
    small = AutoModelForCausalLM.from_pretrained(place / "cut")
    gone = sum(p.numel() for p in dense.parameters()) - sum(p.numel() for p in small.parameters())
    assert gone == record["removed"] and abs(record["rate"] - 0.3) < 0.02
    tokens = torch.arange(3, 19)[None]
    even = AutoModelForCausalLM.from_pretrained(place / "cut-even")
    torch.testing.assert_close(even(tokens).logits, small(tokens).logits, rtol=1e-4, atol=1e-5)
    written = run("generate", place / "cut", "--prompt", "w1 w2", "--no-chat",
                  "--max-new-tokens", "4", "--json")
    assert written.code == 0, written.err
    assert written.json["loop"].startswith("core loop")  # blocks of any width
    refused(run(*_cut(place, "--rate", "0.3")), "exists")


def test_a_cut_is_stored_as_its_checkpoint(place: Path) -> None:
    """Cut in float32, stored in bfloat16; what was measured is what was stored."""
    (place / "model").unlink()
    tiny_model(blocks=3).to(torch.bfloat16).save_pretrained(place / "model")
    tiny_tokenizer().save_pretrained(place / "model")
    dry = run(*_cut(place, "--rate", "0.3", "--dry-run"))
    done = run(*_cut(place, "--rate", "0.3", "--export", "even"))
    assert done.code == 0, done.err
    for folder in ("cut", "cut-even"):
        stored = load_file(place / folder / "model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    size = sum(value.nbytes for value in load_file(place / "cut" / "model.safetensors").values())
    assert size < sum(value.nbytes for value in load_file(
        place / "model" / "model.safetensors").values())
    options = StepOptions(str(place / "model"), str(place / "one.txt"), windows=4,
                          window_length=32)
    counted = structured_cost(options, StructuredOptions(rate=0.3))["disk_bytes"]
    assert counted == pytest.approx(size, rel=0.03)
    assert f"disk about {counted / 1e6:.1f} MB" in dry.out
    learnt = Recovery(options, RecoveryOptions(str(place / "one.txt")), place / "cut")
    assert learnt._options["values"] == "bf16"  # and recovered it is no larger
    blocks = structured_cost(options, StructuredOptions(rate=0.3, blocks=1))["disk_bytes"]
    assert counted * 0.5 < blocks < counted
    assert ns.models.load(place / "cut", dtype="auto").model.dtype == torch.bfloat16


@pytest.mark.parametrize(("description", "gguf", "kind"), [
    ("safetensors float32", None, "fp32"), ("safetensors float16", None, "fp16"),
    ("safetensors bfloat16", None, "bf16"), ("GGUF F32", "m.gguf", "bf16"),
    ("GGUF Q4_1", "m.gguf", "bf16"),
])
def test_a_checkpoint_says_in_what_it_is_stored(description: str, gguf: str | None, kind: str
                                                ) -> None:
    source = ModelSource("m", "folder", Path("m"), gguf, 1, description)
    assert kind_of_source(source) == kind


def test_what_is_measured_of_a_cut_is_what_is_stored() -> None:
    model = tiny_model(blocks=1)
    want = {name: value.bfloat16().float() for name, value in model.named_parameters()}
    rotary = model.model.rotary_emb.inv_freq.clone()
    round_to(model, torch.bfloat16)
    assert all(torch.equal(value, want[name]) and value.dtype == torch.float32
               for name, value in model.named_parameters())
    assert torch.equal(model.model.rotary_emb.inv_freq, rotary)


@pytest.mark.slow  # compress evaluates in processes of their own
def test_a_cut_model_goes_every_way(place: Path) -> None:
    """Cut again, compressed, profiled, packed: where one cannot, one true line says so."""
    text = ["--calibration", place / "one.txt", "--windows", "4", "--window-length", "32"]
    assert run(*_cut(place, "--rate", "0.3")).code == 0
    cut = place / "cut"
    again = run("prune", cut, "--structured", "--rate", "0.2", *text, "--out", place / "twice")
    assert again.code == 0, again.err
    assert ns.models.load(place / "twice").model.num_parameters() < ns.models.load(
        cut).model.num_parameters()
    refused(run("pack", cut, "--out", place / "packed"), "neurosparse compress")
    made = run("compress", cut, "--sparsity", "0.5", *text, "--report-text", place / "two.txt",
               "--report-windows", "2", "--out", place / "small")
    assert made.code == 0, made.err
    packed = run("pack", place / "small" / "model", "--values", "int8", "--out", place / "packed")
    assert packed.code == 0, packed.err
    model = ns.sparse.load(place / "packed")
    assert torch.isfinite(model(input_ids=torch.arange(3, 19)[None]).logits).all()
    profiled = run("profile", cut, "--rule", "owl", *text, "--out", place / "p.h5")
    assert profiled.code == 0, profiled.err
    assert run("allocate", place / "p.h5", "--sparsity", "0.5", "--rule", "owl", "--out",
               place / "b.json").code == 0
    pruned = run("prune", cut, "--budget", place / "b.json", *text, "--out", place / "pruned")
    assert pruned.code == 0, pruned.err
    with pytest.raises(ns.errors.FormatError, match=r"models\.load"):
        ns.sparse.load(cut)
    assert ns.models.load(cut).model.num_parameters() > 0


def test_whole_blocks_alone_load_in_the_stock_class(place: Path) -> None:
    done = run(*_cut(place, "--blocks", "1"))
    assert done.code == 0, done.err
    record = json.loads((place / "cut" / "run.json").read_text())["results"]
    small = AutoModelForCausalLM.from_pretrained(place / "cut")
    assert len(small.model.layers) == 2 and len(record["blocks"]) == 1
    assert f"blocks {record['blocks'][0]} are dropped" in done.out
    left = sum(p.numel() for p in small.parameters())
    assert left == record["parameters_after"] < record["parameters"]


def test_blocks_and_then_a_rate_of_what_is_left(place: Path) -> None:
    done = run(*_cut(place, "--blocks", "1", "--rate", "0.3"))
    assert done.code == 0, done.err
    record = json.loads((place / "cut" / "run.json").read_text())["results"]
    assert record["rate"] == pytest.approx(0.3, abs=0.02) and record["removed"] > 0
    ns.register()
    small = AutoModelForCausalLM.from_pretrained(place / "cut")
    assert sum(p.numel() for p in small.parameters()) == record["parameters_after"]


def test_a_dry_run_writes_nothing(place: Path) -> None:
    before = files(place)
    done = run(*_cut(place, "--rate", "0.3", "--blocks", "1", "--dry-run"))
    assert done.code == 0 and "propagation" in done.out and "Nothing was run" in done.out
    assert "128 calibration tokens are few" in done.out
    done = run(*_search(place, "--dry-run", "--proposer", "llm", "--start", "propagation",
                        "--measure", "kl", "--json"))
    assert done.code == 0, done.err
    assert done.json["sites"] == 6 and done.json["answer_tokens_at_most"] == 16 * 512
    assert set(done.json["seconds"]) == {"scores", "start", "search"}
    more = run(*_search(place, "--dry-run", "--windows", "8", "--start", "uniform", "--json")).json
    assert more["seconds_an_evaluation"] >= 0 and more["to_go"] == done.json["to_go"]
    assert files(place) == before
    refused(run("prune", place / "model", "--dry-run"), "--structured")


@pytest.mark.parametrize("rule", ["propagation", "uniform"])
def test_a_search_begins_where_a_rule_ends(place: Path, rule: str) -> None:
    """And its first configuration is the budget that ``prune`` takes."""
    done = run(*_search(place, "--start", rule, "--json", "--evaluations", "1"))
    assert done.code == 0, done.err
    chosen = json.loads((place / "found" / "budget.json").read_text())["targets"]
    assert [target["name"] for target in chosen][:2] == ["model.layers.0.self_attn",
                                                         "model.layers.0.mlp"]
    even = all(target["value"] == pytest.approx(0.3) for target in chosen)
    assert even == (rule == "uniform")


@pytest.mark.parametrize(("more", "said"), [
    ((), "one of the two"), (("--blocks", "-1"), "blocks -1"), (("--blocks", "3"), "3 of 3"),
    (("--rate", "2"), "rate"), (("--rate", "0.3", "--metric", "x"), "'x'"),
    (("--rate", "0.3", "--export", "odd"), "odd"),
])
def test_what_is_wrong_is_said(place: Path, more: tuple[str, ...], said: str) -> None:
    refused(run(*_cut(place, *more)), said)
    refused(run("prune", place / "model", "--out", place / "x"), "--structured")


@pytest.mark.parametrize("proposer", ["random", "evolution", "line"])
def test_search_then_cut(place: Path, proposer: str) -> None:
    done = run(*_search(place, "--proposer", proposer, "--json"))
    assert done.code == 0, done.err
    found = done.json
    assert found["evaluated"] == 8 and found["best"] <= found["first"]
    assert found["best_so_far"] == sorted(found["best_so_far"], reverse=True)
    assert files(place / "found")[:3] == ["archive.jsonl", "best.json", "budget.json"]
    budget = ns.budgets.Budget.read(place / "found" / "budget.json")
    assert budget.mean() == pytest.approx(0.3, abs=1e-12)
    cut = run(*_cut(place, "--budget", str(place / "found" / "budget.json")))
    assert cut.code == 0, cut.err
    # Gone on with: nothing is evaluated again, and another proposer shares what is known.
    again = run(*_search(place, "--proposer", proposer, "--json")).json
    assert again["best_so_far"] == found["best_so_far"]


def test_the_archive_of_another_text_is_refused(place: Path) -> None:
    assert run(*_search(place, "--evaluations", "1")).code == 0
    refused(run(*_search(place, "--selection", str(place / "one.txt"))), "archive")
    refused(run(*_search(place, "--measure", "kl")), "archive")


def test_a_language_model_that_speaks_nonsense_is_counted(place: Path) -> None:
    """The pruned model proposes its own rates; random weights give no JSON."""
    done = run(*_search(place, "--proposer", "llm", "--json"))
    assert done.code == 0, done.err
    record = done.json["proposer"]["record"]
    assert record["answers"] > 0 and record["validity"] == 0.0
    assert record["fallbacks"] == record["wanted"] == 7 and record["accepted"] == 0
    assert record["tokens"][1] > 0 and done.json["evaluated"] == 8


def test_a_local_model_repeats_itself(place: Path) -> None:
    loaded = ns.models.load(str(place / "model"))
    one = LocalCompletion(loaded, "tiny", seed=1, max_tokens=12)
    state = torch.random.get_rng_state()
    assert one("w1 w2 w3") == one("w1 w2 w3") and one.last_usage == (3, 12)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one("w1 w2 w3") != LocalCompletion(loaded, "tiny", seed=2, max_tokens=12)("w1 w2 w3")


def test_fitness_with_solved_weights_is_nearer_to_dense(place: Path) -> None:
    loaded = ns.models.load(str(place / "model"))
    tokens = ns.models.windows(loaded.tokenizer, tiny_text(2000), length=32, count=3)
    groups = find_groups(loaded.model, heads="queries")
    scores, ladders = make_ladders(loaded.model, tokens, groups)
    budget = ns.budgets.allocate(ns.measure.sizes_only(loaded.model), 0.3)
    masks, solved = (StructuredFitness(loaded.model, groups, scores, tokens, "kl", ladders=how)
                     for how in (None, ladders))
    assert 0 < solved(budget) < masks(budget)


@pytest.mark.parametrize("measure", ["perplexity", "kl"])
def test_fitness_is_that_of_the_cut_model_and_leaves_the_model(place: Path, measure: str) -> None:
    loaded = ns.models.load(str(place / "model"))
    model = loaded.model
    tokens = ns.models.windows(loaded.tokenizer, tiny_text(2000), length=32, count=3)
    groups = find_groups(model)
    scores = structured_scores(model, tokens, groups)
    before = [get_weight(model, t).clone() for t in find_targets(model)]
    fitness = StructuredFitness(model, groups, scores, tokens, measure)
    profile = ns.measure.sizes_only(model)
    zero = fitness(ns.budgets.allocate(profile, 0.0))
    some = fitness(ns.budgets.allocate(profile, 0.3))
    plain = float(np.mean(ns.measure.perplexity(model, tokens).nll))
    assert zero == pytest.approx(0.0 if measure == "kl" else plain, abs=1e-5)
    assert some != zero and fitness(ns.budgets.allocate(profile, 0.3), fidelity=1) != some
    assert all(torch.equal(get_weight(model, t), b)
               for t, b in zip(find_targets(model), before, strict=True))


@pytest.mark.parametrize(("more", "said"), [
    (("--proposer", "oracle"), "oracle"), (("--rate", "1.5"), "1.5"),
    (("--server", "http://localhost:1"), "name on the server"), (("--measure", "luck"), "luck"),
    (("--compensate", "x"), "'x'"), (("--max-tokens", "0"), "max_tokens 0"),
])
def test_bad_searches(place: Path, more: tuple[str, ...], said: str) -> None:
    refused(run(*_search(place, *more)), said)


@pytest.mark.parametrize(("more", "words"), [
    (["--rate", "0.3", "--compensate", "nosuch"], ["compensate", "nosuch"]),
    (["--rate", "0.3", "--round-to", "0"], ["round_to 0"]),
    (["--rate", "0.3", "--heads", "nosuch"], ["nosuch", "queries"]),
    (["--rate", "0.3", "--rule", "nosuch"], ["nosuch", "propagation"]),
    (["--rate", "0.3", "--rule", "arithmetic"], ["step"]),
    (["--rate", "0.999"], ["rate 0.999", "at most 0."]),
    (["--rate", "0.3", "--experts"], ["experts"]),
    (["--blocks", "3"], ["3 of 3 blocks", "0 to 2"]),
])
@pytest.mark.parametrize("dry", [True, False])
def test_an_impossible_cut_is_refused_before_work(more: list[str], words: list[str], dry: bool,
                                                  place: Path, monkeypatch: pytest.MonkeyPatch
                                                  ) -> None:
    module = sys.modules["neurosparse.pipeline.structured_step"]  # hidden by its function
    monkeypatch.setattr(module, "perplexity", _not_reached)
    monkeypatch.setattr(module, "rates_by_rule", _not_reached)
    refused(run(*_cut(place, *more, *(["--dry-run"] if dry else []))), *words)


def test_an_even_folder_that_is_there_is_kept(place: Path) -> None:
    (place / "cut-even").mkdir()
    (place / "cut-even" / "mine").write_text("x")
    refused(run(*_cut(place, "--rate", "0.3", "--export", "even")), "cut-even", "exists")
    assert (place / "cut-even" / "mine").read_text() == "x"


def test_a_cut_that_cannot_be_padded_is_saved_all_the_same(place: Path) -> None:
    build("qwen3").save_pretrained(place / "qwen3")
    tiny_tokenizer().save_pretrained(place / "qwen3")
    done = run("prune", place / "qwen3", "--structured", "--calibration", place / "one.txt",
               "--windows", "4", "--window-length", "32", "--rate", "0.3", "--compensate", "bias",
               "--export", "even", "--out", place / "cut")
    refused(done, "bias")
    assert (place / "cut" / "run.json").is_file() and not (place / "cut-even").exists()
    ns.models.load(place / "cut")


@pytest.mark.parametrize(("more", "words"), [
    (["--rate", "0.999"], ["0.999"]), (["--rate", "0.3", "--start", "nosuch"], ["nosuch"]),
    (["--rate", "0.3", "--heads", "nosuch"], ["nosuch"]),
])
def test_an_impossible_search_is_refused_before_work(more: list[str], words: list[str], place: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["neurosparse.pipeline.search_run"]
    monkeypatch.setattr(module, "make_ladders", _not_reached)
    refused(run("search", place / "model", *more, "--calibration", place / "one.txt", "--selection",
                place / "two.txt", "--out", place / "s", "--window-length", "32"), *words)


def _not_reached(*_: object, **__: object) -> None:
    raise AssertionError("work was begun")
