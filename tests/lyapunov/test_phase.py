"""Phase diagrams: exponents of known networks, windows, regimes, files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosparse.dynamics import gaussian_couplings
from neurosparse.errors import FormatError, InputError, ResumeError
from neurosparse.lyapunov.phase import phase_diagram
from neurosparse.lyapunov.phase_result import REGIMES, PhaseDiagram
from neurosparse.sweeps import SweepResult, draw_seed

SMALL: dict[str, Any] = {"n": 24, "draws": 2, "duration": 20.0, "windows": 3, "workers": 0}


@pytest.fixture(scope="module")
def at_rest() -> PhaseDiagram:
    return phase_diagram([0.3, 0.5], [0.0, 1.0], n=40, draws=2, duration=400.0, windows=3,
                         workers=0, seed=3)


def test_rest_has_the_exponents_of_linear_theory(at_rest: PhaseDiagram) -> None:
    """papers.md 1(f)1 and 3, of each draw's own couplings."""
    for row, g in enumerate(at_rest.gain):
        for draw in range(2):
            J = gaussian_couplings(40, g, seed=draw_seed(3, draw))
            vanilla = np.linalg.eigvals(J).real.max() - 1.0
            # a leading pair of complex eigenvalues makes the windowed exponent oscillate: 1/window
            assert at_rest.exponents[row, 0, draw, -1, 0] == pytest.approx(vanilla, abs=0.01)
            smallest = np.linalg.svd(np.eye(40) - J, compute_uv=False)[-1]
            assert at_rest.exponents[row, 1, draw, -1, 0] == pytest.approx(-smallest**2, abs=1e-4)
    assert (at_rest.regimes() == "null").all()
    np.testing.assert_array_equal(at_rest.fraction_zero, 1.0)
    np.testing.assert_array_equal(at_rest.fraction_reached(), 1.0)
    np.testing.assert_allclose(at_rest.edges, [50.0, 100.0, 200.0, 400.0])
    np.testing.assert_allclose(at_rest.windows, [50.0, 100.0, 200.0])


def test_regulated_energy_falls_and_nothing_is_chaotic() -> None:
    diagram = phase_diagram([1.5, 3.0], [1.0], n=40, draws=3, duration=60.0, workers=0, k=2)
    assert not diagram.energy_rose().any()
    assert (np.diff(diagram.energy, axis=-1) <= 0).all()
    assert (diagram.fraction("chaos") == 0).all()
    assert (diagram.settled_energy <= diagram.energy[..., -1]).all()
    assert diagram.exponents.shape == (2, 1, 3, 4, 2)
    assert (diagram.exponents[..., 0] >= diagram.exponents[..., 1]).all()


@pytest.mark.slow
def test_vanilla_chaos_is_called_so_and_freezes() -> None:
    """λ of SCS at g = 3 is 0.2355 for large N (row 36), and below it at finite N.

    Four draws of N = 200 and T = 100 gave 0.143, of N = 400 0.195(6), two of N = 800 0.199.
    """
    diagram = phase_diagram([3.0], [0.0, 1.0], n=400, draws=2, duration=200.0, workers=0, seed=1)
    assert diagram.regimes()[0].tolist() == ["chaos", "frozen"]
    assert 0.15 < diagram.exponent[0, 0] < 0.2355
    assert abs(diagram.exponent[0, 1]) < 0.02
    assert diagram.final_energy[0, 1] < 1e-2 * diagram.final_energy[0, 0]


def test_a_step_outside_the_stable_range_shows() -> None:
    """Euler at 0.01 and g = 20 (papers.md 1(e)): the energy of a gradient flow rises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diagram = phase_diagram([20.0], [1.0], n=40, draws=2, duration=10.0, windows=3,
                                method="euler", dt=0.01, workers=0, settle=False)
    assert diagram.energy_rose().all()
    assert (diagram.kind == -1).all() and np.isnan(diagram.fraction_zero).all()
    assert (diagram.step == 0.01).all()


@pytest.mark.slow
def test_draws_are_paired_and_workers_do_not_matter(tmp_path: Path) -> None:
    alone = phase_diagram([0.5, 2.0], [0.0, 1.0], **SMALL)
    crowd = phase_diagram([0.5, 2.0], [0.0, 1.0], store=tmp_path / "s.h5",
                          **{**SMALL, "workers": 2})
    np.testing.assert_array_equal(alone.exponents, crowd.exponents)
    np.testing.assert_array_equal(alone.energy, crowd.energy)
    one = phase_diagram([2.0], [1.0], **SMALL)
    np.testing.assert_array_equal(one.exponents[0, 0], alone.exponents[1, 1])
    # resumed: nothing is run again
    steps: list[int] = []
    phase_diagram([0.5, 2.0], [0.0, 1.0], store=tmp_path / "s.h5", **SMALL,
                  progress=lambda label, done, total: steps.append(done))
    assert steps == []
    with pytest.raises(ResumeError, match="fixed"):
        phase_diagram([0.5, 2.0], [0.0, 1.0], store=tmp_path / "s.h5", **{**SMALL, "n": 25})
    assert SweepResult.load(tmp_path / "s.h5").complete


def test_saved_and_loaded(tmp_path: Path, at_rest: PhaseDiagram) -> None:
    at_rest.save(tmp_path / "p.h5")
    back = PhaseDiagram.load(tmp_path / "p.h5")
    for name, value in vars(at_rest).items():
        if name != "settings":
            np.testing.assert_array_equal(getattr(back, name), value)
            assert getattr(back, name).dtype == value.dtype
    assert back.settings == at_rest.settings
    np.testing.assert_array_equal(back.regimes(), at_rest.regimes())
    (tmp_path / "bad.h5").write_text("no")
    with pytest.raises(FormatError, match=r"bad\.h5"):
        PhaseDiagram.load(tmp_path / "bad.h5")
    with pytest.raises(InputError, match="no such file"):
        PhaseDiagram.load(tmp_path / "absent.h5")


def made(exponents: list[float], energy: float, activity: float, **other: Any) -> PhaseDiagram:
    """One point with windows of 50, 100 and 200."""
    one = np.ones((1, 1, 1))
    arrays: dict[str, Any] = {
        "gain": np.ones(1), "gamma": np.ones(1), "edges": np.array([50.0, 100.0, 200.0, 400.0]),
        "exponents": np.array(exponents).reshape(1, 1, 1, 3, 1),
        "errors": np.full((1, 1, 1, 3, 1), 1e-3), "energy": energy * np.ones((1, 1, 1, 4)),
        "activity": activity * np.ones((1, 1, 1, 4)), "settled_energy": 0 * one,
        "settled_activity": np.nan * one, "settled_distance": 0 * one,
        "kind": np.zeros((1, 1, 1), dtype=np.int64), "diverged": one > 1, "step": one,
    }
    return PhaseDiagram(**{**arrays, **other})


@pytest.mark.parametrize(("exponents", "energy", "activity", "other", "word"), [
    ([0.1, 0.1, 0.1], 1.0, 5.0, {}, "chaos"),
    ([0.2, 0.1, 0.02], 1e-3, 5.0, {}, "finite-time"),
    ([0.2, 0.05, 0.004], 1e-3, 5.0, {}, "frozen"),  # grew less than e² in the last window
    ([-0.1, -0.05, -0.01], 1e-4, 5.0, {}, "frozen"),
    ([0.0, 0.0, 0.0], 1.0, 5.0, {}, "moving"),
    ([-0.1, -0.1, -0.1], 0.0, 1e-9, {}, "null"),
    ([-0.1, -0.1, -0.1], 1e-6, 1e-3, {"settled_activity": np.zeros((1, 1, 1))}, "null"),
    ([0.1, 0.1, 0.1], 1.0, 5.0, {"errors": np.ones((1, 1, 1, 3, 1))}, "moving"),
    ([np.nan] * 3, np.nan, np.nan, {"diverged": np.ones((1, 1, 1), dtype=bool)}, "diverged"),
])
def test_regimes_by_their_rules(
    exponents: list[float], energy: float, activity: float, other: dict[str, Any], word: str
) -> None:
    diagram = made(exponents, energy, activity, **other)
    assert diagram.regimes_by_draw().item() == word
    assert diagram.regimes().item() == word
    assert diagram.fraction(word).item() == 1.0
    assert sum(diagram.fraction(each).item() for each in REGIMES) == 1.0


@pytest.mark.parametrize(("arguments", "named"), [
    ({"g": []}, "g = "), ({"g": [-1.0]}, "g = -1"), ({"gamma": [np.nan]}, "gamma"),
    ({"n": 0}, "n = 0"), ({"k": 25}, "k = 25"), ({"draws": 0}, "draws"),
    ({"windows": 0}, "windows"), ({"duration": 0.0}, "duration"), ({"phi": "cosh"}, "cosh"),
])
def test_bad_input_is_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        phase_diagram(**{"g": [1.0], **SMALL, **arguments})
    with pytest.raises(InputError, match="'calm'"):
        made([0.0, 0.0, 0.0], 1.0, 5.0).fraction("calm")
