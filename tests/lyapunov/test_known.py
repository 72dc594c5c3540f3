"""Systems with known spectra: rows 1 to 13 of the reference table (numerics.md 1.6)."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse import lyapunov
from neurosparse.lyapunov import gallery

LN2 = float(np.log(2.0))


def run(name: str, **options):
    known = gallery.KNOWN[name]
    return known, lyapunov.spectrum(known.make(), duration=known.duration, **options)


def near(found, known, tolerance):
    leading = found.exponents[: len(known)]
    assert found.status is lyapunov.Status.FINISHED
    assert np.abs(leading - known).max() < tolerance
    # and the error bar means it: five of them, and what is known of the value
    assert (np.abs(leading - known) < 5 * found.stderr[: len(known)] + 0.2 * tolerance).all()


def test_row_1_logistic_is_ln_2():
    known, found = run("logistic")
    near(found, known.exponents, known.tolerance)
    assert found.stderr[0] < 1e-3


@pytest.mark.parametrize("make", [gallery.tent, gallery.bernoulli])
def test_row_1_shifts_do_not_collapse(make):
    found = lyapunov.spectrum(make(), duration=1e5)
    assert abs(found.exponents[0] - LN2) < 1e-12
    # in plain binary floats the state would be at a fixed point by now
    assert 1e-3 < found.state["x"][0] < 1 - 1e-3


def test_row_2_cat_map():
    known, found = run("cat")
    assert np.abs(found.exponents - known.exponents).max() < 1e-10
    assert found.sum_rule_residual < 1e-12
    assert abs(found.kaplan_yorke - 2) < 1e-9


def test_row_3_henon():
    known, found = run("henon")
    near(found, known.exponents, known.tolerance)
    assert abs(found.exponents.sum() - np.log(0.3)) < 1e-12
    assert found.sum_rule_residual < 1e-12
    assert abs(found.kaplan_yorke - known.dimension) < 5e-3
    assert 0 < found.kaplan_yorke_stderr < 5e-3


def test_row_4_standard_map_keeps_area():
    found = lyapunov.spectrum(gallery.standard(), duration=3e4)
    assert abs(found.exponents.sum()) < 1e-12


@pytest.mark.slow
def test_row_4_standard_map_chaotic_sea():
    # Orbits stick to islands for long: an error bar has to know of it.
    found = lyapunov.spectrum(gallery.standard(), duration=2e7)
    exact = np.array(gallery.KNOWN["standard"].exponents)
    assert found.effective_samples[0] < 0.5 * len(found.block_logs)
    assert (np.abs(found.exponents - exact) < 4 * found.stderr).all()
    assert np.abs(found.exponents - exact).max() < 0.02


def test_row_5_lorenz():
    known, found = run("lorenz63")
    near(found, known.exponents, known.tolerance)
    assert abs(found.kaplan_yorke - known.dimension) < 1e-3
    assert abs(found.exponents.sum() - known.total) < 1e-3  # step error of RK4 at 0.01


def test_row_5_lorenz_sum_is_exact_at_order_eight():
    found = lyapunov.spectrum(gallery.lorenz63(), duration=200, method="dop853")
    assert abs(found.exponents.sum() + 41 / 3) < 1e-7
    assert found.sum_rule_residual < 1e-7


@pytest.mark.slow
def test_row_6_lorenz_of_wolf():
    known, found = run("lorenz63 (16, 45.92, 4)", dt=0.005)
    near(found, known.exponents, known.tolerance)
    assert abs(found.exponents.sum() + 21) < 1e-4


def test_row_7_lorenz_on_its_fixed_point():
    found = lyapunov.spectrum(gallery.lorenz63(rho=20.0), duration=2000, transient=200)
    assert abs(found.exponents[0] + 0.15479177) < 1e-3
    assert abs(found.exponents[1] + 0.15479177) < 1e-3
    assert abs(found.exponents[2] + 13.35708312) < 1e-3
    assert found.kaplan_yorke == 0.0
    assert found.entropy_rate == 0.0


def test_row_8_rossler():
    known, found = run("rossler")
    near(found, known.exponents, known.tolerance)
    assert abs(found.kaplan_yorke - known.dimension) < 1e-3
    assert found.sum_rule_residual < 1e-3


@pytest.mark.slow
def test_row_9_jerk():
    known, found = run("jerk")
    near(found, known.exponents, known.tolerance)
    assert abs(found.exponents.sum() - known.total) < 1e-6


def test_row_10_linz_sprott_sum():
    found = lyapunov.spectrum(gallery.linz_sprott(), duration=2000)
    assert abs(found.exponents.sum() + 0.6) < 1e-6


@pytest.mark.slow
def test_row_10_linz_sprott():
    # intermittent: one independent sample in some eighty units of time
    known, found = run("linz_sprott")
    near(found, known.exponents, known.tolerance)


@pytest.mark.slow
def test_row_11_ikeda():
    known, found = run("ikeda")
    near(found, known.exponents, known.tolerance)
    assert abs(found.exponents.sum() - 2 * np.log(0.9)) < 1e-12


@pytest.mark.slow
def test_row_12_lorenz_96():
    known = gallery.KNOWN["lorenz96"]
    found = lyapunov.spectrum(known.make(), duration=1000)
    assert abs(found.exponents[0] - known.exponents[0]) < 4 * found.stderr[0] < 0.12
    assert (found.exponents > 0.01).sum() == 13
    assert abs(found.kaplan_yorke - known.dimension) < 0.2
    assert abs(found.exponents.sum() + 40) < 1e-3


@pytest.mark.slow
def test_row_12_lorenz_96_largest_exponent_alone():
    known = gallery.KNOWN["lorenz96"]
    found = lyapunov.spectrum(known.make(), 1, duration=5000)
    assert abs(found.exponents[0] - known.exponents[0]) < known.tolerance
    assert found.stderr[0] < 0.02


@pytest.mark.slow
def test_row_13_driven_van_der_pol():
    _, found = run("van_der_pol")
    assert abs(found.exponents[0] / 0.085 - 1) < 0.2
    assert abs(found.exponents[1] / -6.7 - 1) < 0.2
    assert found.sum_rule_residual < 1e-3


def test_lorenz_to_an_asked_precision():
    found = lyapunov.spectrum(gallery.lorenz63(), precision=0.01)
    assert found.status is lyapunov.Status.CONVERGED
    assert found.stderr.max() <= 0.01
    assert np.abs(found.exponents - gallery.KNOWN["lorenz63"].exponents).max() < 0.04


def test_k_exponents_are_the_first_of_all():
    whole = lyapunov.spectrum(gallery.lorenz63(), duration=300, interval=0.1)
    for k in (1, 2):
        some = lyapunov.spectrum(gallery.lorenz63(), k, duration=300, interval=0.1)
        assert np.allclose(some.exponents, whole.exponents[:k], atol=1e-9)
        assert some.sum_rule_residual is None
