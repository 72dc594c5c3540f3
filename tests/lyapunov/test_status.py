"""What a spectrum says when something goes wrong, and what it refuses."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from neurosparse import errors, lyapunov
from neurosparse.errors import InputError
from neurosparse.lyapunov import DiscreteSystem, MatrixSequence, Operators, Status, System, gallery


def blow_up() -> System:
    """x' = x², infinite at t = 1 from x = 1."""
    return System(lambda t, x: x * x, lambda t, x, v: 2 * x * v, 1, x0=[1.0])


@pytest.mark.parametrize(
    "lengths",
    [
        {"transient": 3.0, "warmup": 1.0, "duration": 5.0},
        {"transient": 0.0, "warmup": 3.0, "duration": 5.0},
        {"transient": 0.0, "warmup": 0.1, "duration": 5.0},
    ],
)
def test_divergence_is_a_status(lengths):
    found = lyapunov.spectrum(blow_up(), interval=0.1, **lengths)
    assert found.status is Status.DIVERGED
    assert np.isnan(found.exponents).all()
    assert np.isnan(found.stderr).all()
    assert found.sum_rule_residual is None
    assert found.duration < 1.5
    with pytest.raises(InputError, match="diverged"):
        found.extend(duration=1.0)


def test_divergence_in_the_compiled_loop():
    found = lyapunov.spectrum(gallery.henon(a=2.5), duration=1000)
    assert found.status is Status.DIVERGED
    assert np.isnan(found.exponents).all()


def test_divergence_is_an_error_if_asked():
    with pytest.raises(errors.DivergenceError, match="not finite at time"):
        lyapunov.spectrum(blow_up(), duration=5.0, transient=0.0, on_failure="raise")


@pytest.mark.parametrize("stacked", [True, False])
def test_a_collapsed_direction_is_minus_infinity(stacked):
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((200, 4, 4)) / 2
    matrices[:, 3] = 0.0  # rank 3, in a direction of its own
    product = MatrixSequence(matrices if stacked else list(matrices), 4)
    found = lyapunov.spectrum(product)
    assert found.status is Status.COLLAPSED
    assert np.isneginf(found.exponents[3])
    assert np.isnan(found.stderr[3])
    # the others are those of the 3 x 3 part, not a mean with log 1 = 0 in it
    part = lyapunov.spectrum(MatrixSequence(matrices[1:, :3, :3].copy()), warmup=20, interval=1)
    assert np.abs(found.exponents[:3] - part.exponents).max() < 0.05
    assert (found.stderr[:3] > 0).all()
    assert found.kaplan_yorke >= 0


def test_a_strong_contraction_is_not_a_collapse():
    found = lyapunov.spectrum(
        MatrixSequence(lambda n: np.diag([1.0, 1e-30]), 2), duration=50, warmup=20, interval=1
    )
    assert found.status is Status.FINISHED
    assert np.allclose(found.exponents, [0.0, np.log(1e-30)], atol=1e-9)


def test_precision_that_is_not_reached_says_so():
    found = lyapunov.spectrum(gallery.lorenz63(), precision=1e-5, max_duration=200.0)
    assert found.status is Status.NOT_CONVERGED
    assert 190 < found.duration < 210
    assert np.isfinite(found.exponents).all()


def test_a_sequence_that_ends_early():
    matrices = [np.diag([2.0, 0.5])] * 20
    done = lyapunov.spectrum(MatrixSequence(iter(matrices), 2), duration=500)
    assert done.duration == 20
    assert done.status is Status.FINISHED
    asked = lyapunov.spectrum(MatrixSequence(iter(matrices), 2), duration=500, precision=1e-3)
    assert asked.status is Status.NOT_CONVERGED


def test_interrupt_keeps_what_is_done_and_can_go_on():
    def stop(label, done, total):
        if done == 30:
            os.kill(os.getpid(), signal.SIGINT)

    product = MatrixSequence(lambda n: np.array([[2.0, 1.0], [1.0, 1.0]]), 2)
    before = signal.getsignal(signal.SIGINT)
    found = lyapunov.spectrum(product, duration=500, interval=1, progress=stop)
    assert found.status is Status.INTERRUPTED
    assert 30 <= found.duration < 40
    assert signal.getsignal(signal.SIGINT) is before
    rest = found.extend(duration=500 - found.duration)
    whole = lyapunov.spectrum(product, duration=500, interval=1)
    assert rest.status is Status.FINISHED
    assert np.abs(rest.exponents - whole.exponents).max() < 1e-14


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 4}, "k=4; expected a whole number 1 <= k <= 3"),
        ({"k": 0}, "k=0"),
        ({"k": 1.5}, "k=1.5"),
        ({"dt": 0.0}, "dt=0.0; expected dt > 0"),
        ({"dt": -0.1}, "dt"),
        ({"dt": float("nan")}, "dt"),
        ({"dt": float("inf")}, "dt"),
        ({"duration": 0.0}, "duration"),
        ({"duration": "a"}, "duration"),
        ({"k": "a"}, "k=.a."),
        ({"seed": -1}, "seed -1"),
        ({"precision": 0.0}, "precision"),
        ({"max_duration": -1.0}, "max_duration"),
        ({"transient": -1.0}, "transient"),
        ({"warmup": float("inf")}, "warmup"),
        ({"interval": 0.0}, "interval"),
        ({"orthogonalise": "gram"}, "'householder' or 'cholesky'"),
        ({"dtype": "float16"}, "dtype"),
        ({"dtype": "float32"}, "no dtype here"),
        ({"on_failure": "ignore"}, "on_failure"),
        ({"method": "leapfrog"}, "'rk4'"),
        ({"x0": [1.0, 2.0]}, r"x0 of shape \(2,\)"),
        ({"x0": [1.0, 2.0, np.nan]}, "x0"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        lyapunov.spectrum(gallery.lorenz63(), **options)


def test_unknown_systems_are_refused():
    with pytest.raises(InputError, match="a system of type dict"):
        lyapunov.spectrum({})


@pytest.mark.parametrize(
    "make",
    [
        lambda: MatrixSequence(np.zeros((3, 2))),
        lambda: MatrixSequence(np.zeros((3, 2, 4))),
        lambda: MatrixSequence([np.eye(2)]),
        lambda: Operators([], 0),
        lambda: System(np.sin, np.cos, 0),
        lambda: System(np.sin, np.cos, 1, x0=[1.0, 2.0]),
        lambda: System(np.sin, 3, 1),
        lambda: System(np.sin, np.cos, 1, timescale=0.0),
    ],
)
def test_bad_systems_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_numba_and_plain_functions_do_not_mix():
    lorenz = gallery.lorenz63()
    with pytest.raises(InputError, match="all of one kind"):
        System(lorenz.advance, lorenz.tangent.py_func, 3)


def test_wrong_number_of_arguments_is_named():
    lorenz = gallery.lorenz63()
    swapped = System(lorenz.tangent, lorenz.advance, 3)
    with pytest.raises(InputError, match="5 arguments"):
        lyapunov.spectrum(swapped, duration=1.0)


def test_operators_are_checked_as_they_come():
    class Wide:
        def matmat(self, frame):
            return frame[:1]

    with pytest.raises(InputError, match="with matmat"):
        lyapunov.spectrum(Operators([np.eye(2)], 2))
    with pytest.raises(InputError, match="result of shape"):
        lyapunov.spectrum(Operators([Wide()], 2))
    with pytest.raises(InputError, match=r"matrix 1 of shape \(3, 3\)"):
        lyapunov.spectrum(MatrixSequence([np.eye(2), np.eye(3)], 2))
    with pytest.raises(InputError, match="no method here"):
        lyapunov.spectrum(MatrixSequence([np.eye(2)], 2), method="rk4")


def test_sequences_of_nan_diverge():
    found = lyapunov.spectrum(MatrixSequence(np.full((5, 2, 2), np.nan)))
    assert found.status is Status.DIVERGED


def test_sequences_that_are_empty_or_read_are_refused():
    used = iter([np.eye(2)] * 5)
    product = MatrixSequence(used, 2)
    lyapunov.spectrum(product)
    for empty in (product, MatrixSequence([], 2), MatrixSequence(np.zeros((0, 2, 2)))):
        with pytest.raises(InputError, match="ended before"):
            lyapunov.spectrum(empty)


def test_windows_are_checked():
    found = lyapunov.spectrum(gallery.cat(), duration=100, interval=1)
    assert found.finite_time(10).shape == (10, 2)
    for window in (0.2, 1000):
        with pytest.raises(InputError, match="window"):
            found.finite_time(window)


def test_maps_have_no_dt():
    identity = DiscreteSystem(lambda n, x: x, lambda n, x, v: v, 1)
    with pytest.raises(InputError, match="no dt here"):
        lyapunov.spectrum(identity, dt=0.1)
