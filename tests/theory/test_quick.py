"""Every script of theory/ in its quick form: files, verdict, and one number that must be right.

The scripts run in this process: a fresh interpreter each would cost more than the runs themselves.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

THEORY = Path(__file__).parents[2] / "theory"
SCRIPTS = sorted(path.stem for path in THEORY.glob("*.py")
                 if "def main" in path.read_text(encoding="utf-8"))
SLOW = {"regulated_dmft", "end_states", "phase_diagram", "spectra_against_theory", "ei_networks",
        "memory_prediction", "depth_terms"}


def freeze_unfreeze(file):
    assert file["theory_exponent"][()] == pytest.approx(0.112458, abs=1e-5)  # row 36
    states, energy = file["states"][()], file["energy"][()]
    assert states.shape == (2, energy.shape[1], 6)
    frozen = energy[:, energy.shape[1] // 3 + 1:2 * energy.shape[1] // 3]
    assert (np.diff(frozen, axis=1) <= 1e-12).all(), "E rose at γ = 1"
    assert (frozen[:, -1] < 0.2 * energy[:, energy.shape[1] // 3 - 1]).all()


def phase_diagram(file):
    energies = file["plane/energies"][()]
    assert (np.diff(energies[:, -1], axis=-1) <= 1e-12).all(), "E rose at γ = 1"
    assert file["plane/regime"][0].tolist() == [0, 0, 0]  # g = 0.5 rests at every γ
    assert 0.05 < file["plane/exponents"][1, 0, :, -1].mean() < 0.5  # g = 5 vanilla
    assert file["euler/limit"][0] == pytest.approx(2 / 39.66, rel=1e-3)  # λ₊ at g = 3
    assert file["largest_regulated_exponent_late"][()] < 0.01


def ei_networks(file):
    assert file["published/radius_theory"][()] == pytest.approx(0.84, abs=0.001)
    assert file["R = 2, strict signs/radius_theory"][()] == pytest.approx(2.0)
    assert (file["published/phase"][:, 0] < -0.05).all(), "no chaos to freeze"


def spectra_against_theory(file):
    # the issue: minus the smallest squared singular value of that J, to 1e-4
    pairs = file["regulated"][()]
    assert np.abs(pairs[..., 0] - pairs[..., 1]).max() < 1e-4
    assert file["edge_theory"][1] == pytest.approx(0.1362, abs=1e-4)
    off = np.abs(file["edge_fit"][:, 0] - file["edge_theory"][()])
    assert (off < 4 * file["edge_fit"][:, 1]).all()
    assert np.median(file["full"][0]) == pytest.approx(-1, abs=0.15)  # row 44


def memory_prediction(file):
    tau = np.arange(1, 11)
    expected = 1 - 2 * (1 - np.cos(0.02 * np.pi * tau))
    assert np.abs(file["published"][()] - expected).max() < 1e-6
    assert file["published"][0, -1] == pytest.approx(0.618, abs=5e-4)
    assert file["recall of a sine"][0].min() > 0.9  # g = 0.5 holds the phase


def finite_size_scaling(file):
    assert file["theory"][0] == pytest.approx(0.235461, abs=1e-5)  # row 36, g = 3
    assert 0.3 < file["mean"][0, -1] / file["theory"][0] < 1.3
    assert 0.02 < file["extensive_mean"][-1, 0] < 0.09  # row 41


def end_states(file):
    assert file["rest_index"][0] == pytest.approx(0.1955, abs=1e-4)
    fixed = file["kind"][()] <= 1
    assert fixed.any() and (file["point_energy"][()][fixed] < 1e-16).all()
    assert (file["point_energy"][()] <= file["energy"][()] + 1e-12).all()


def hebbian_control(file):
    exponents = file["exponent"][()]
    assert (exponents[1] < -0.1).all(), "strong plasticity did not freeze"
    assert (exponents[0] > exponents[1] + 0.1).all()


def regulated_dmft(file):
    assert "settings" in file.attrs


def depth_explosion(file):
    assert (file["error/uniform"][()] > 0).all() and len(file["perplexity"]) == 4


def depth_terms(file):
    assert file["order"][0] == pytest.approx(1, abs=0.6)  # small errors: second order holds
    assert np.isfinite(file["cross"][()]).all() and (file["single"][1] > file["single"][0]).any()


def depth_step(file):
    # The tiny model is random, so that the sign of its step is nobody's claim.
    assert file["predicted"][()] in file["steps"][()] and file["gap_error"][()] > 0
    assert file["best"][()] in file["steps"][()]


def depth_search(file):
    for name in ("uniform", "ours"):
        assert (np.diff(file[f"history/{name}"][()]) <= 0).all()


CHECKS = {check.__name__: check for check in (
    freeze_unfreeze, phase_diagram, ei_networks, spectra_against_theory, memory_prediction,
    finite_size_scaling, end_states, hebbian_control, regulated_dmft,
    depth_explosion, depth_terms, depth_step, depth_search)}


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SCRIPTS])
def test_the_quick_form(name, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(THEORY)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--quick", "--out", str(tmp_path)])
    spec = importlib.util.spec_from_file_location(f"theory_{name}", THEORY / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main()
    said = capsys.readouterr().out
    kinds = {path.suffix for path in tmp_path.iterdir()}
    if name == "regulated_dmft":  # its numbers are a table
        assert {".h5", ".png"} <= kinds
        assert "theory" in said
    else:
        assert kinds == {".h5", ".png", ".svg"}
        verdict = [line for line in said.splitlines() if line.startswith("verdict: ")]
        assert len(verdict) == 1 and "nan" not in verdict[0].lower()
    with h5py.File(tmp_path / f"{name}.h5") as file:
        if name != "regulated_dmft":
            assert file.attrs["quick"] and file.attrs["seed"] == 0
        CHECKS[name](file)


def test_every_script_states_its_claim():
    for name in SCRIPTS:
        text = (THEORY / f"{name}.py").read_text(encoding="utf-8")
        assert text.startswith('"""')
        assert name in CHECKS
        if name != "regulated_dmft":
            assert "Derivation" in text.split('"""')[1] or "derivations" in text.split('"""')[1]
