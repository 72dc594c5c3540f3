"""pack, generate, bench: the way of a user, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cli_runner
import pytest
import torch
from cli_runner import refused
from tiny import tiny_model, tiny_text, tiny_tokenizer, write_tiny

import neurosparse as ns


def run(*arguments: object) -> cli_runner.Done:
    return cli_runner.run(*arguments)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense model, the same with 60 % zeros, and that one packed."""
    folder = tmp_path_factory.mktemp("run")
    write_tiny(folder / "dense")
    model = tiny_model()
    generator = torch.Generator().manual_seed(0)
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        weight[torch.rand(weight.shape, generator=generator) < 0.6] = 0
    model.save_pretrained(folder / "pruned")
    tiny_tokenizer().save_pretrained(folder / "pruned")
    done = run("pack", folder / "pruned", "--out", folder / "packed")
    assert done.code == 0, done.err
    return folder


def weights(model: torch.nn.Module) -> torch.Tensor:
    found = model.get_submodule("model.layers.0.mlp.up_proj")
    return found.to_dense() if hasattr(found, "to_dense") else found.weight


def test_pack_says_the_sizes_and_leaves_a_folder_that_loads(place: Path) -> None:
    done = run("pack", place / "pruned", "--out", place / "p1", "--values", "int8", "--json")
    found = done.json
    size = sum(file.stat().st_size for file in (place / "p1").iterdir())
    assert found["folder"] == size and found["packed_matrices"] == found["matrices"] == 21
    assert 0.59 < found["zeros"] / found["weights"] < 0.61
    assert 0.2 < found["packed"] / found["dense"] < 0.4
    assert found["dense"] == 2 * found["weights"]
    # Counted before, measured after: the same.
    counted = run("pack", place / "pruned", "--values", "int8", "--dry-run", "--json",
                  "--out", place / "never").json
    assert {**found, "folder": None, "out": ""} == {**counted, "out": ""}
    assert not (place / "never").exists()
    ns.sparse.load(place / "p1")
    record = json.loads((place / "p1" / "run.json").read_text())
    assert record["command"] == "pack" and record["results"]["packed"] == found["packed"]
    assert (place / "p1" / "tokenizer.json").is_file()
    said = run("pack", place / "pruned", "--out", place / "p1", "--overwrite").out
    assert "of dense bf16" in said and "whole folder" in said and "21 get packed" in said


def test_pack_streams_and_shards(place: Path) -> None:
    done = run("pack", place / "pruned", "--out", place / "p2", "--stream", "--max-shard", 60000)
    assert done.code == 0, done.err
    assert len(list((place / "p2").glob("*.safetensors"))) > 1
    one, two = ns.sparse.load(place / "p2"), ns.sparse.load(place / "packed")
    assert torch.equal(weights(one), weights(two))


@pytest.mark.parametrize("values", ["fp32", "fp16", "int8"])
def test_pack_changes_the_kind_of_values(values: str, place: Path) -> None:
    done = run("pack", place / "packed", "--out", place / values, "--values", values)
    assert done.code == 0, done.err
    new, old = ns.sparse.load(place / values), ns.sparse.load(place / "packed")
    assert type(new) is type(old)
    bound = {"fp32": 0.0, "fp16": 1e-7}.get(values, float(weights(old).abs().max()) / 254)
    assert float((weights(new) - weights(old)).abs().max()) <= bound
    mask = old.get_submodule("model.layers.0.mlp.up_proj").bitmap
    assert torch.equal(new.get_submodule("model.layers.0.mlp.up_proj").bitmap, mask)
    back = run("pack", place / values, "--out", place / values, "--values", "bf16", "--overwrite")
    assert back.code == 0 and ("as coarse as before" in back.out) == (values == "int8")


@pytest.mark.parametrize("source", ["packed", "pruned"])
def test_pack_stores_four_bits_with_scales_of_groups(source: str, place: Path) -> None:
    out = place / f"int4-{source}"
    done = run("pack", place / source, "--out", out, "--values", "int4", "--group", 32, "--json")
    assert done.code == 0, done.err
    assert done.json["group_size"] == 32 and done.json["packed"] < 0.25 * done.json["dense"]
    new, old = ns.sparse.load(out), ns.sparse.load(place / "packed")
    layer = new.get_submodule("model.layers.0.mlp.up_proj")
    assert torch.equal(layer.bitmap, old.get_submodule("model.layers.0.mlp.up_proj").bitmap)
    assert layer.packed().has_groups(32) and layer.packed().kind.name == "int4"
    assert float((weights(new) - weights(old)).abs().max() / weights(old).abs().max()) < 0.2
    said = run("pack", out, "--out", place / "back", "--values", "int8", "--overwrite").out
    assert "the values were int4" in said
    text = run("generate", out, "--prompt", "w1 w2 w3", "--max-new-tokens", 4, "--json")
    assert text.code == 0 and text.json["prompt_tokens"] == 3


@pytest.mark.parametrize(("source", "values"), [("packed", "int4"), ("pruned", "int4"),
                                                ("packed", "int8")])
def test_pack_rounds_by_inputs_and_keeps_the_mask(source: str, values: str, place: Path) -> None:
    (place / "text.txt").write_text(tiny_text())
    text = ["--calibration", place / "text.txt", "--windows", 4, "--window-length", 32]
    more = ["--values", values, "--overwrite", "--out"]
    near, known = place / f"near-{values}", place / f"known-{values}"
    assert run("pack", place / source, *more, near).code == 0
    done = run("pack", place / source, *more, known, "--rounding", "gptq", *text)
    assert done.code == 0, done.err
    tokens = torch.randint(3, 60, (4, 32), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        was, simple, better = (ns.sparse.load(path)(tokens).logits
                               for path in (place / "packed", near, known))
    assert (better - was).norm() < (simple - was).norm()
    bits = [ns.sparse.load(path).get_submodule("model.layers.1.mlp.up_proj").bitmap
            for path in (place / "packed", known)]
    assert torch.equal(*bits)
    record = json.loads((known / "run.json").read_text())
    assert record["arguments"]["rounding"]["how"] == "gptq"


def test_pack_refuses_what_it_cannot_do(place: Path) -> None:
    out = ["--out", place / "no"]
    refused(run("pack", place / "dense", *out), "0.0% of its blocks' weights zero", "Prune")
    refused(run("pack", place / "pruned", *out, "--values", "int3"), "int3", "int8")
    refused(run("pack", place / "pruned", *out, "--values", "int4", "--group", 48), "48", "128")
    refused(run("pack", place / "pruned", *out, "--group", 64), "bf16", "int4")
    refused(run("pack", place / "pruned", *out, "--rounding", "gptq"), "bf16", "int4")
    refused(run("pack", place / "pruned", *out, "--rounding", "odd"), "odd", "gptq")
    refused(run("pack", place / "pruned", *out, "--values", "int8", "--rounding", "gptq",
                "--windows", 0), "0 windows")
    refused(run("pack", place / "pruned", "--out", place / "packed"), "results in", "--overwrite")
    refused(run("pack", place / "pruned", "--out", place / "dense", "--overwrite"), "other things")
    # before anything is loaded
    refused(run("pack", place / "nowhere", "--out", place / "dense", "--overwrite"), "other things")
    refused(run("pack", place / "pruned", *out, "--values", "int4", "--calibration", "t.txt"),
            "t.txt", "gptq")
    refused(run("pack", place / "packed", *out, "--stream"), "stream", "dense folder")
    refused(run("pack", place / "nowhere", *out), "nowhere")
    large = tiny_model()
    large.model.layers[0].mlp.up_proj.weight[:, ::2] = 0
    large.model.layers[0].mlp.up_proj.weight[3, 3] = 1e6
    large.save_pretrained(place / "large")
    assert run("pack", place / "large", "--out", place / "wide").code == 0
    refused(run("pack", place / "wide", *out, "--values", "fp16"), "up_proj", "bf16")
    assert not (place / "no").exists()
    # Without zeros int8 is smaller all the same, and says whose merit that is.
    assert "no weight is zero" in run("pack", place / "dense", "--out", place / "full", "--values",
                                      "int8").out


@pytest.mark.parametrize("model", ["packed", "pruned"])
def test_generate_is_what_transformers_generates(model: str, place: Path) -> None:
    done = run("generate", place / model, "--prompt", "w1 w2 w3", "--max-new-tokens", 12,
               "--dtype", "float32", "--json")
    found = done.json
    load = ns.sparse.load if model == "packed" else lambda path: ns.models.load(path).model
    ids = torch.tensor([[4, 5, 6]])
    theirs = load(place / model).generate(input_ids=ids, attention_mask=torch.ones_like(ids),
                                          max_new_tokens=12, do_sample=False, pad_token_id=2)
    text = tiny_tokenizer().decode(theirs[0, 3:], skip_special_tokens=True)
    assert found["text"].split() == text.split() and found["prompt_tokens"] == 3
    assert found["prefill_tokens_per_s"] > 0 and found["stopped"] in ("end", "length")
    plain = run("generate", place / model, "--prompt", "w1 w2 w3", "--max-new-tokens", 12,
                "--dtype", "float32")
    assert plain.out.split() == text.split() and "decode" in plain.err and "tokens/s" in plain.err


def test_generate_draws_by_its_seed_alone(place: Path) -> None:
    def text(seed: int) -> str:
        return run("generate", place / "packed", "--prompt", "w1", "--temperature", 1.0, "--seed",
                   seed, "--max-new-tokens", 20).out

    before = torch.get_rng_state()
    first = text(1)
    assert text(1) == first != text(2)
    assert torch.equal(before, torch.get_rng_state())


def test_generate_uses_the_chat_template_where_there_is_one(place: Path) -> None:
    shutil.copytree(place / "packed", place / "chat")
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "w9 {{ messages[0]['content'] }} w9"
    tokenizer.save_pretrained(place / "chat")

    def length(*words: str) -> int:
        return run("generate", place / "chat", "--prompt", "w1 w2", "--max-new-tokens", 1, "--json",
                   *words).json["prompt_tokens"]

    assert length() == length("--chat") == 4 and length("--no-chat") == 2


def test_generate_refuses_and_stops_at_the_context(place: Path) -> None:
    full = " ".join(["w1"] * 250)
    stopped = run("generate", place / "packed", "--prompt", full, "--json").json
    assert stopped["prompt_tokens"] + stopped["tokens"] == 256 and stopped["stopped"] == "context"
    full += " w1" * 6
    refused(run("generate", place / "packed", "--prompt", full), "256 tokens", "context of 256")
    refused(run("generate", place / "packed", "--prompt", ""), "empty prompt")
    refused(run("generate", place / "packed", "--prompt", "w1", "--chat"), "--no-chat")
    refused(run("generate", place / "packed", "--prompt", "w1", "--temperature", "-1"), "-1")
    refused(run("generate", place / "packed", "--prompt", "w1", "--device", "cuda:7"), "cuda:7")
    for wrong, words in (({"--loop": "odd"}, "odd"), ({"--dtype": "odd"}, "odd"),
                         ({"--temperature": "-1"}, "-1"), ({"--device": "cuda:7"}, "cuda:7")):
        refused(run("generate", place / "packed", "--prompt", "w1", "--dry-run",
                    *(word for pair in wrong.items() for word in pair)), words)
    refused(run("generate", place / "nowhere", "--prompt", "w1", "--dry-run"), "nowhere")
    assert "Nothing was run" in run("generate", place / "packed", "--prompt", "w1", "--dry-run").out
    shutil.copytree(place / "packed", place / "mute", ignore=shutil.ignore_patterns("tokenizer*"))
    refused(run("generate", place / "mute", "--prompt", "w1"), "without tokenizer", "tokenizer.js")


def test_bench_compares_a_packed_model_with_itself_dense(place: Path) -> None:
    file = place / "bench.json"
    done = run("bench", place / "packed", "--prompt-tokens", 8, "--steps", 4, "--rounds", 2,
               "--threads", 1, "--no-start", "--json", file)
    assert done.code == 0, done.err
    for words in ("packed bf16", "1 thread,", "prefill", "decode", "memory then", "share",
                  "weights a step reads", "Python's share"):
        assert words in done.out
    results = json.loads(file.read_text())["results"]
    assert {turn["who"] for turn in results["turns"]} == {"packed", "dense"}
    assert results["moved"]["packed"]["all"] < results["moved"]["dense"]["all"]
    printed = run("bench", place / "pruned", "--against", place / "dense", "--prompt-tokens", 4,
                  "--steps", 2, "--rounds", 1, "--no-start", "--json", "-").json
    assert list(printed["models"]) == [str(place / "pruned"), str(place / "dense")]
    alone = run("bench", place / "dense", "--against", "none", "--prompt-tokens", 4, "--steps", 2,
                "--rounds", 1, "--no-start", "--json", "-").json
    assert list(alone["models"]) == ["dense"]


def test_eval_says_both_loops_and_what_a_step_reads(place: Path) -> None:
    (place / "text.txt").write_text(tiny_text())
    found = run("eval", place / "packed", "--report-text", place / "text.txt", "--windows", 2,
                "--window-length", 16, "--dtype", "bfloat16", "--json").json
    assert found["core_decode_tokens_per_s"] > 0 and found["memory_bytes_per_s"] > 0
    model = ns.sparse.load(place / "packed", dtype="bfloat16")
    assert found["decode_bytes"] == ns.measure.decode_bytes(model)["all"]


def test_bench_refuses(place: Path) -> None:
    refused(run("bench", place / "dense"), "which is dense", "neurosparse pack")
    refused(run("bench", place / "packed", "--prompt-tokens", 250), "context of 256")
    refused(run("bench", place / "packed", "--steps", 2), "2 steps in 6 rounds")
    refused(run("bench", place / "packed", "--threads", 0), "0")
    refused(run("bench", place / "packed", "--against", place / "nowhere"), "nowhere")


@pytest.mark.slow
def test_bench_times_the_first_token_in_processes_of_their_own(place: Path) -> None:
    found = run("bench", place / "packed", "--prompt-tokens", 8, "--steps", 2, "--rounds", 1,
                "--threads", 1, "--json", "-").json
    assert set(found["start"]) == {"packed", "dense"}
    packed, dense = found["start"]["packed"], found["start"]["dense"]
    assert packed["hash_s"] > 0 and dense["hash_s"] == 0
    for one in (packed, dense):
        assert one["first_token_s"] == pytest.approx(one["load_s"] + one["prompt_s"])
        assert min(one["load_s"], one["prompt_s"], one["cpu_s"]) > 0
        assert one["peak_memory_bytes"] > one["libraries_memory_bytes"] > 0
