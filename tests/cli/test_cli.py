"""The command line as a person meets it: one line and exit code 2 for every wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cli_runner
import pytest
import torch
from tiny import tiny_model, tiny_text, tiny_tokenizer, write_tiny
from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM

TEXT = ["--window-length", "32", "--windows", "4", "--report-windows", "3"]


def run(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **variables}
    return subprocess.run([sys.executable, "-m", "neurosparse", *arguments], capture_output=True,
                          text=True, cwd=cwd, env=environment, timeout=300)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_tiny(folder / "model")
    (folder / "text.txt").write_text(tiny_text())
    return folder


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    """Exit code 2, one line on stderr with these words, no traceback, nothing on stdout."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.slow
def test_compress_from_text_to_report(place: Path) -> None:
    done = run("compress", "model", "--sparsity", "0.6", "--calibration", "text.txt", "--out", "o",
               "--export", "dense", *TEXT, cwd=place)
    assert done.returncode == 0, done.stderr
    out = place / "o"
    assert sorted(p.name for p in out.iterdir()) == [
        "budget.json", "dense", "model", "profile.h5", "report.html", "run.json"]
    for words in ("perplexity", "packed bf16", "dense bf16", "as it came", "ns.sparse.load",
                  "was split", "60.0"):
        assert words in done.stdout, done.stdout
    results = json.loads((out / "run.json").read_text())["results"]
    assert results["sparsity"]["kept"] == pytest.approx(0.6, abs=1e-4)
    rows = {row["name"]: row for row in results["rows"]}
    assert set(rows) == {"dense float32", "dense bf16", "packed bf16"}
    assert all(row["decode_tokens_per_s"] > 0 for row in rows.values())

    from transformers import AutoModelForCausalLM

    import neurosparse as ns

    packed, dense = ns.sparse.load(out / "model"), AutoModelForCausalLM.from_pretrained(
        out / "dense", dtype=torch.float32)
    tokens = torch.arange(3, 40)[None]
    ours, theirs = packed(tokens).logits, dense(tokens).logits
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5
    refused(run("compress", "model", "--sparsity", "0.6", "--calibration", "text.txt", "--out", "o",
                *TEXT, cwd=place), "results in o", "--overwrite")
    again = run("compress", "model", "--sparsity", "0.6", "--calibration", "text.txt", "--out", "o",
                "--resume", "--json", *TEXT, cwd=place)
    assert json.loads(again.stdout) == results


def test_json_goes_to_stdout_alone_and_dry_run_writes_nothing(
        place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(place)
    done = cli_runner.run("compress", "model", "--sparsity", "0.5", "--calibration", "text.txt",
                          "--out", "d", "--dry-run", "--json", *TEXT)
    assert capfd.readouterr().out == ""  # nothing goes past Python to the file of stdout
    plan = done.json
    assert plan["model"]["linears"] == 21 and plan["memory_bytes"] > 0
    assert not (place / "d").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["nowhere", "--sparsity", "0.5"], ["nowhere"]),
    (["missing.gguf", "--sparsity", "0.5"], ["missing.gguf"]),
    (["model", "--sparsity", "1.0"], ["sparsity 1.0", "[0, 1)"]),
    (["model", "--sparsity", "nan"], ["sparsity nan"]),
    (["model", "--sparsity", "0.5", "--method", "wnada"], ["wnada", "wanda"]),
    (["model", "--sparsity", "0.5", "--rule", "arithmetic"], ["step"]),
    (["model", "--sparsity", "0.5", "--rule", "arithmetic", "--step", "0.9"], ["0.5", "step"]),
    (["model", "--sparsity", "0.5", "--values", "int3"], ["int3", "int8"]),
    (["model", "--sparsity", "0.5", "--search-step"], ["arithmetic"]),
    (["model", "--sparsity", "0.5", "--calibration", "none.txt"], ["none.txt"]),
    (["model", "--sparsity", "0.5", "--calibration", "empty.txt"], ["empty.txt"]),
    (["model", "--sparsity", "0.5", "--calibration", "short.txt"], ["window"]),
    (["nan", "--sparsity", "0.5", "--calibration", "text.txt"], ["v_proj"]),
    (["torn", "--sparsity", "0.5", "--calibration", "text.txt"], ["model.safetensors"]),
    (["model", "--sparsity", "0.5", "--calibration", "text.txt", "--device", "cuda:7"], ["cuda:7"]),
    (["model", "--sparsity", "0.5", "--calibration", "text.txt", "--out", "text.txt/x"],
     ["text.txt"]),
])
def test_wrong_input_is_one_line(arguments: list[str], words: list[str], place: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "empty.txt").write_text(" \n")
    (place / "short.txt").write_text("w1 w2 w3")
    if not (place / "torn").exists():
        write_tiny(place / "torn")
        shard = place / "torn" / "model.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1000])
        model = tiny_model()
        model.model.layers[1].self_attn.v_proj.weight[0, 0] = float("nan")
        model.save_pretrained(place / "nan")
        tiny_tokenizer().save_pretrained(place / "nan")
    before = sorted(place.iterdir())
    extra = [] if "--out" in arguments else ["--out", "never"]
    monkeypatch.chdir(place)
    cli_runner.refused(cli_runner.run("compress", *arguments, *extra, *TEXT), *words)
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(("more", "words"), [
    (["--calibration", "none.txt"], ["none.txt"]),
    (["--calibration", "bare.txt"], ["bare.txt"]),
    (["--out", "taken"], ["results in taken", "--overwrite"]),
    (["--out", "text.txt/x"], ["text.txt/x", "Not a directory"]),
    (["--out", "begun"], ["unfinished work in begun", "--resume"]),
    (["--out", "begun", "--resume"], ["resume in begun"]),
    (["--pattern", "n:7"], ["q_proj n:7", "multiple of 7"]),
    (["--window-length", "300"], ["300 tokens", "context of 256"]),
    (["--device", "cuda:7"], ["cuda:7"]),
    (["--rule", "arithmetic", "--step", "0.9"], ["0.5", "step"]),
])
def test_a_dry_run_refuses_what_the_run_would(more: list[str], words: list[str], place: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "bare.txt").write_text(" ")
    (place / "taken").mkdir(exist_ok=True)
    (place / "taken" / "budget.json").write_text("{}")
    (place / "begun" / ".work").mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(place)
    text = [] if "--calibration" in more else ["--calibration", "text.txt"]
    cli_runner.refused(cli_runner.run("compress", "model", "--sparsity", "0.5", *TEXT, *text,
                                      *more, "--dry-run"), *words)


def test_a_folder_that_takes_none_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch
                                              ) -> None:
    monkeypatch.chdir(place)
    for out in ("/proc/neurosparse", "x" * 300):
        cli_runner.refused(cli_runner.run("compress", "model", "--sparsity", "0.5", "--calibration",
                                          "text.txt", *TEXT, "--out", out), out, "--out")


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_windows_beyond_learned_positions_are_one_line(family: str, place: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2}
    model = (GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, n_positions=64, **shape))
             if family == "gpt2" else OPTForCausalLM(OPTConfig(
                 hidden_size=32, ffn_dim=64, num_hidden_layers=1, num_attention_heads=2,
                 max_position_embeddings=64, word_embed_proj_dim=32, pad_token_id=2, **shape)))
    model.save_pretrained(place / family)
    tiny_tokenizer().save_pretrained(place / family)
    monkeypatch.chdir(place)
    said = ["windows of 65 tokens", "context of 64", "--window-length"]
    long = ["--window-length", "65"]
    cli_runner.refused(cli_runner.run("eval", family, "--report-text", "text.txt", *long), *said)
    text = ["--calibration", "text.txt", "--windows", "2", *long]
    cli_runner.refused(cli_runner.run("compress", family, "--sparsity", "0.5", *text, "--out",
                                      "long"), *said)
    done = cli_runner.run("profile", family, "--rule", "owl", *text, "--out", "long.h5")
    assert done.code == 2 and len(done.err.splitlines()) == 1
    assert all(word in done.err for word in said)
    assert not (place / "long").exists() and not (place / "long.h5").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["compress", "model"], ["compress", "sparsity", "--help"]),
    (["compress", "model", "--sparsity", "abc"], ["number"]),
    (["compress", "model", "--sparsity", "0.5", "--colour", "red"], ["--colour"]),
    (["bogus"], ["bogus"]),
])
def test_a_wrong_command_line_is_one_line(arguments: list[str], words: list[str]) -> None:
    cli_runner.refused(cli_runner.run(*arguments), *words)


def test_no_argument_shows_the_help() -> None:
    done = run()
    assert done.returncode == 2 and "compress" in done.stdout and not done.stderr.strip()


def test_debug_shows_the_traceback(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    done = cli_runner.run("compress", "nowhere", "--sparsity", "0.5", "--debug")
    assert done.code == 2 and "Traceback" in done.err


def test_eval_and_info(place: Path, monkeypatch: pytest.MonkeyPatch,
                       capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(place)
    done = cli_runner.run("eval", "model", "--report-text", "text.txt", "--windows", "2",
                          "--window-length", "16", "--json")
    assert capfd.readouterr().out == ""
    found = done.json
    assert found["perplexity"] > 1 and len(found["nll_by_window"]) == 2
    assert found["peak_memory_bytes"] >= found["libraries_memory_bytes"] > 0
    assert found["notes"] == [] and done.err == ""
    (place / "little.txt").write_text(tiny_text(40))
    fewer = cli_runner.run("eval", "model", "--report-text", "little.txt", "--windows", "5",
                           "--window-length", "16", "--no-speed", "--json")
    assert fewer.code == 0 and len(fewer.json["nll_by_window"]) == 2
    assert fewer.json["notes"] == ["the report text holds 2 windows, not the 5 asked"]
    assert "holds 2 windows, not the 5 asked" in fewer.err
    info = json.loads(run("info", "--json").stdout)
    assert info["level"] in info["levels"] and info["threads"] >= 1 and info["build"]


@pytest.mark.slow
def test_a_missing_model_is_one_line_in_a_process_of_its_own(place: Path) -> None:
    refused(run("compress", "nowhere", "--sparsity", "0.5", cwd=place), "nowhere")


def test_help_of_every_command() -> None:
    listed = run("--help").stdout
    for name in ("compress", "pack", "generate", "bench", "eval", "report", "info", "simulate",
                 "spectrum", "phase", "meanfield"):
        assert name in listed
        assert cli_runner.run(name, "--help").code == 0
