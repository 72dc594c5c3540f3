"""``neurosparse spectrum``: the table, its files, going on, and one line for a wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_runner import files, interrupted, refused, run
from scipy import sparse

from neurosparse import dynamics, lyapunov

SMALL = ("--n", 24, "--k", 4, "--duration", 40, "--transient", 10)


def test_the_same_as_the_rooms(tmp_path: Path) -> None:
    done = run("spectrum", *SMALL, "--seed", 3, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    system = dynamics.Flow(dynamics.gaussian_couplings(24, 2.0, seed=3))
    wanted = lyapunov.spectrum(system, 4, duration=40, transient=10, seed=3)
    np.testing.assert_array_equal(done.json["exponents"], wanted.exponents)
    np.testing.assert_array_equal(done.json["stderr"], wanted.stderr)
    assert done.json["status"] == "finished"
    assert files(tmp_path / "o") == ["run.json", "spectrum.h5", "spectrum.pdf"]
    kept = lyapunov.Spectrum.load(tmp_path / "o" / "spectrum.h5")
    np.testing.assert_array_equal(kept.exponents, wanted.exponents)
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert record["command"] == "spectrum" and record["arguments"]["seed"] == 3
    assert record["results"]["exponents"] == done.json["exponents"]
    assert record["timings"]["spectrum"] > 0 and record["level"]


def test_the_table_says_what_was_asked_for(tmp_path: Path) -> None:
    done = run("spectrum", "--n", 12, "--duration", 60, "--map", 1, "--out", tmp_path / "o")
    assert done.code == 0, done.err
    for words in ("exponent", "error", "Kaplan-Yorke dimension", "entropy rate",
                  "sum-rule residual", "finished", "spectrum.h5", "\n12 "):
        assert words in done.out, done.out


def test_linear_exponents_are_the_eigenvalues_of_ones_own_matrix(tmp_path: Path) -> None:
    J = np.diag([0.5, 0.1, -0.4])
    np.save(tmp_path / "J.npy", J)
    done = run("spectrum", "--couplings", tmp_path / "J.npy", "--phi", "linear", "--duration", 60,
               "--dt", 0.05, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    np.testing.assert_allclose(done.json["exponents"], [-0.5, -0.9, -1.4], atol=1e-4)
    assert done.json["kaplan_yorke"] == 0 and done.json["entropy_rate"] == 0
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert len(record["data"]["sha256"]) == 64


def test_a_matrix_dense_or_sparse_in_a_file_is_the_same(tmp_path: Path) -> None:
    J = dynamics.gaussian_couplings(16, 1.5, sparsity=0.7, storage="dense", seed=2)
    np.savez(tmp_path / "dense.npz", couplings=J)
    sparse.save_npz(tmp_path / "sparse.npz", sparse.csr_array(J))
    found = [run("spectrum", "--couplings", tmp_path / name, "--k", 2, "--duration", 30, "--out",
                 tmp_path / name[:-4], "--json", "--figure", "none").json["exponents"]
             for name in ("dense.npz", "sparse.npz")]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_to_go_on_is_one_long_run(tmp_path: Path) -> None:
    half = ["spectrum", "--n", 24, "--k", 4, "--map", 1, "--json", "--figure", "none", "--out"]
    more = [*half, tmp_path / "o", "--duration", 400]
    assert run(*half, tmp_path / "o", "--duration", 200).code == 0
    refused(run(*more), "results in", "--resume")
    refused(run(*more, "--resume", "--gain", 3), "gain 3.0", "gain 2.0")
    refused(run(*more, "--resume", "--overwrite"), "--overwrite")
    gone_on = run(*more, "--resume").json
    whole = run(*half, tmp_path / "w", "--duration", 400).json
    assert gone_on["duration"] == [400.0]
    np.testing.assert_allclose(gone_on["exponents"], whole["exponents"], rtol=1e-9)
    again = run(*more, "--resume").json
    assert again["exponents"] == gone_on["exponents"]


def test_draws_are_those_of_the_average_spectrum(tmp_path: Path) -> None:
    options = ["spectrum", *SMALL, "--seed", 5, "--out", tmp_path / "o", "--json"]
    first = run(*options, "--figure", "none")
    several = run(*options, "--draws", 3, "--resume")
    assert first.code == several.code == 0, several.err
    wanted = lyapunov.average_spectrum(
        lambda seed: dynamics.Flow(dynamics.gaussian_couplings(24, 2.0, seed=seed)),
        draws=3, k=4, seed=5, duration=40, transient=10)
    np.testing.assert_allclose(several.json["exponents"], wanted.exponents, rtol=1e-12)
    np.testing.assert_allclose(several.json["stderr_draws"], wanted.stderr_draws, rtol=1e-9)
    names = files(tmp_path / "o")
    assert [name for name in names if name.endswith(".h5")] == [
        f"spectrum-{draw:03d}.h5" for draw in range(3)]


def test_status_is_the_exit_code(tmp_path: Path) -> None:
    common = ["spectrum", "--n", 20, "--k", 1, "--map", 1, "--json", "--figure", "none"]
    reached = run(*common, "--precision", 0.05, "--out", tmp_path / "a")
    assert reached.code == 0 and reached.json["status"] == "converged"
    assert max(reached.json["stderr"]) <= 0.05
    short = run(*common, "--precision", 1e-6, "--max-duration", 100, "--duration", 50, "--out",
                tmp_path / "b")
    assert short.code == 3 and short.json["status"] == "not converged"
    lost = run("spectrum", "--n", 8, "--gain", 9, "--phi", "linear", "--duration", 2000, "--json",
               "--out", tmp_path / "c")
    assert lost.code == 3 and lost.json["status"] == "diverged"
    assert lost.json["exponents"] == [None] * 8
    assert (tmp_path / "c" / "spectrum.h5").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = run("spectrum", "--n", 20000, "--k", 100, "--dry-run", "--json", "--out", tmp_path / "o")
    assert done.code == 0, done.err
    assert done.json["seconds"] > 60 and done.json["memory_bytes"] > 3.2e9
    assert not (tmp_path / "o").exists()
    said = run("spectrum", "--n", 50, "--dry-run", "--out", tmp_path / "o").out
    assert "50 exponents" in said and "Nothing was run" in said


@pytest.mark.parametrize(("arguments", "words"), [
    (["--k", 0], ["k 0", "1 <= k <= 200"]),
    (["--duration", 20, "--max-duration", 10], ["duration 20", "max_duration 10"]),
    (["--n", 10, "--k", 11], ["k 11", "10"]),
    (["--n", 0], ["n 0"]),
    (["--n", 10_000_000], ["GB", "--sparsity"]),
    (["--gain", "nan"], ["gain nan"]),
    (["--gain", -1], ["gain -1"]),
    (["--symmetry", 1.5], ["symmetry 1.5"]),
    (["--sparsity", 1], ["sparsity 1.0"]),
    (["--phi", "tnah"], ["tnah", "tanh"]),
    (["--temperature", -1], ["temperature -1"]),
    (["--ensemble", "ie"], ["'ie'", "gaussian or ei"]),
    (["--ensemble", "ei", "--symmetry", 0.5], ["--symmetry", "ei"]),
    (["--ensemble", "ei", "--sparsity", 1], ["sparsity 1.0"]),
    (["--mean-e", 1], ["--mean-e", "gaussian"]),
    (["--ensemble", "ei", "--dale", "none"], ["dale 'none'"]),
    (["--map", 0], ["delta 0"]),
    (["--map", 0.5, "--gamma", 1], ["--gamma 1 with --map"]),
    (["--map", 0.5, "--dt", 0.1], ["dt"]),
    (["--dt", 0], ["dt"]),
    (["--dt", "nan"], ["dt"]),
    (["--method", "rk5"], ["rk5", "rk4"]),
    (["--method", "exponential-ab2", "--gamma", 1], ["exponential-ab2", "gamma"]),
    (["--dtype", "float16"], ["float16", "float32"]),
    (["--precision", 0], ["precision 0.0"]),
    (["--duration", -1], ["duration -1"]),
    (["--duration", 10, "--transient", 20], ["transient 20"]),
    (["--draws", 0], ["draws 0"]),
    (["--seed", -1], ["--seed"]),
    (["--figure", "gif"], ["gif", "pdf"]),
    (["--couplings", "nowhere.npy"], ["nowhere.npy", "no such file"]),
    (["--couplings", "J.npy", "--n", 5], ["--n", "--couplings"]),
    (["--duration", "long"], ["--duration", "number"]),
])
@pytest.mark.parametrize("dry", [False, True])
def test_wrong_input_is_one_line(arguments: list[object], words: list[str], dry: bool,
                                 tmp_path: Path) -> None:
    if dry and words[0] == "GB":
        pytest.skip("a dry run says what it would take")
    out = tmp_path / "never"
    refused(run("spectrum", *arguments, "--out", out, *["--dry-run"] * dry), *words)
    assert not out.exists()


@pytest.mark.parametrize(("make", "words"), [
    (lambda path: np.save(path, np.ones((3, 4))), ["(3, 4)", "square"]),
    (lambda path: np.save(path, np.full((3, 3), np.nan)), ["NaN"]),
    (lambda path: np.save(path, np.eye(3).astype(complex)), ["complex"]),
    (lambda path: np.save(path, np.array([{}, 1], dtype=object), allow_pickle=True),
     ["one matrix"]),
    (lambda path: np.savez(path.open("wb"), a=np.eye(2), b=np.eye(2)), ["a, b"]),
    (lambda path: path.write_bytes(b"PK but no archive"), ["one matrix"]),
    (lambda path: path.write_text("1 2\n3 4\n"), ["one matrix"]),
    (lambda path: path.write_bytes(b""), ["one matrix"]),
])
def test_a_wrong_file_is_one_line(make: object, words: list[str], tmp_path: Path) -> None:
    make(tmp_path / "J.npy")  # type: ignore[operator]
    refused(run("spectrum", "--couplings", tmp_path / "J.npy", "--out", tmp_path / "o"), "J.npy",
            *words)


def test_a_torn_result_is_one_line(tmp_path: Path) -> None:
    options = ["spectrum", *SMALL, "--figure", "none", "--out", tmp_path]
    assert run(*options).code == 0
    kept = tmp_path / "spectrum.h5"
    kept.write_bytes(kept.read_bytes()[:500])
    refused(run(*options, "--resume"), "spectrum.h5")
    (tmp_path / "run.json").unlink()
    refused(run(*options, "--resume"), "run.json")
    assert run(*options, "--overwrite").code == 0


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "o").write_text("")
    refused(run("spectrum", *SMALL, "--out", tmp_path / "o"), "the file", "--out")


def test_an_unstable_step_is_warned_about_in_one_line(tmp_path: Path) -> None:
    done = run("spectrum", *SMALL, "--gamma", 1, "--dt", 1.5, "--method", "euler", "--out",
               tmp_path, "--figure", "none")
    warned = [line for line in done.err.splitlines() if line.startswith("neurosparse: warning:")]
    assert len(warned) == 1 and "stable" in warned[0]


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(tmp_path: Path) -> None:
    options = ["spectrum", "--n", 60, "--k", 5, "--map", 1, "--duration", 40000, "--out", tmp_path]
    stopped = interrupted(*options, after="progress\tspectrum\t")
    assert stopped.code == 130, stopped.err
    assert "Traceback" not in stopped.err and "--resume" in stopped.err
    kept = lyapunov.Spectrum.load(tmp_path / "spectrum.h5")
    assert kept.status is lyapunov.Status.INTERRUPTED and kept.duration < 40000
    done = run(*options, "--resume", "--json")
    assert done.code == 0 and done.json["duration"] == [40000.0]
