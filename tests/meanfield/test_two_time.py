"""Two-time mean-field theory of the vanilla flow: exact laws, closure, sampling, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.errors import FormatError, InputError
from neurosparse.meanfield.two_time import two_time
from neurosparse.meanfield.two_time_result import TwoTime


@pytest.mark.parametrize("dt", [0.1, 0.05, 0.025])
def test_without_reciprocity_the_response_is_that_of_one_leaking_neuron(dt: float) -> None:
    result = two_time(1.5, duration=2.0, dt=dt)
    lag = result.times[:, None] - result.times[None, :]
    leak = np.where(lag >= 0, np.exp(-np.maximum(lag, 0.0)), 0.0)
    assert np.abs(result.response - leak).max() < 2.5 * dt**2


@pytest.mark.parametrize(  # row 21
    ("gain", "symmetry", "values"),
    [(0.5, 0.5, {1.0: 0.391356, 2.0: 0.172109, 4.0: 0.043863}), (0.5, -0.5, {1.0: 0.345361}),
     (0.8, 0.0, {1.0: math.exp(-1), 3.0: math.exp(-3)})],
)
def test_row21_averaged_response_of_an_elliptic_linear_network(
    gain: float, symmetry: float, values: dict[float, float]
) -> None:
    fine, coarse = (two_time(gain, "linear", symmetry=symmetry, duration=5.0, dt=dt)
                    for dt in (0.02, 0.04))
    for lag, value in values.items():
        for start in (0.0, 0.8):  # the same at any start
            one, two = (r.response[round((lag + start) / dt), round(start / dt)]
                        for r, dt in ((fine, 0.02), (coarse, 0.04)))
            assert one == pytest.approx(value, abs=4e-4)
            assert (4 * one - two) / 3 == pytest.approx(value, abs=2e-5)  # second order in dt


@pytest.mark.parametrize(  # rows 22, 23
    ("gain", "symmetry", "variance"),
    [(0.5, 0.0, 0.57735027), (0.8, 0.0, 0.83333333), (0.5, 0.5, 0.65085186)],
)
def test_rows22_23_variance_of_a_noisy_linear_network(
    gain: float, symmetry: float, variance: float
) -> None:
    last = [two_time(gain, "linear", symmetry=symmetry, noise=1.0, duration=28.0, dt=dt,
                     initial_variance=variance).covariance[-1, -1] for dt in (0.1, 0.2)]
    assert last[0] == pytest.approx(variance, rel=8e-3)
    assert (4 * last[0] - last[1]) / 3 == pytest.approx(variance, abs=1.2e-3)


def test_row22_correlation_time() -> None:
    result = two_time(0.6, "linear", noise=1.0, duration=16.0, dt=0.05, initial_variance=0.625)
    row = result.covariance[-1, ::-1][:120] / result.covariance[-1, -1]
    assert row == pytest.approx(np.exp(-0.8 * 0.05 * np.arange(120)), abs=4e-3)


@pytest.mark.parametrize("symmetry", [-0.5, 0.0, 0.5])  # row 24
def test_row24_rest_loses_stability_at_one_over_one_plus_symmetry(symmetry: float) -> None:
    for excess, grows in ((0.9, False), (1.15, True)):
        gain = excess / (1 + symmetry)
        variance = np.diagonal(two_time(gain, "linear", symmetry=symmetry, duration=24.0,
                                        dt=0.1).covariance)
        assert bool(variance[-1] > variance[-60]) is grows


@pytest.mark.parametrize(("factor", "sign"), [(0.5, -1), (1.0, 0), (2.0, 1)])  # row 25
def test_row25_onset_of_chaos_with_noise(factor: float, sign: int) -> None:
    result = two_time(1.5, noise=0.276159 * factor, duration=30.0, dt=0.1, initial_variance=0.7)
    gap = result.covariance[-1, -1] - 1.5**2 * result.phi_covariance[-1, -1]
    if sign:
        assert gap * sign > 0.01
    else:
        assert gap == pytest.approx(0.0, abs=2e-3)


def test_row26_relaxes_to_the_static_variance() -> None:
    # the error is the scheme's, second order in dt
    ends = [two_time(3.0, duration=56.0, dt=dt, initial_variance=5.0).covariance[-1, -1]
            for dt in (0.14, 0.28)]
    assert ends[0] == pytest.approx(5.44632608, abs=5e-3)
    assert (4 * ends[0] - ends[1]) / 3 == pytest.approx(5.44632608, abs=2e-3)


def test_erf_closure_against_the_closed_form() -> None:
    result = two_time(2.0, "erf", duration=4.0, dt=0.1)
    c = result.covariance
    q = 1 + 2 * np.diagonal(c)
    wanted = 2 / np.pi * np.arcsin(np.clip(2 * c / np.sqrt(np.outer(q, q)), -1, 1))
    assert np.abs(result.phi_covariance - wanted).max() < 1e-10


def test_relu_closure_against_the_arc_cosine_kernel() -> None:
    result = two_time(1.0, "relu", duration=4.0, dt=0.1)
    c = result.covariance
    scale = np.sqrt(np.outer(np.diagonal(c), np.diagonal(c)))
    angle = np.arccos(np.clip(c / scale, -1, 1))
    wanted = scale / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
    assert np.abs(result.phi_covariance - wanted).max() < 2e-5


@settings(max_examples=12, deadline=None)
@given(st.floats(0.1, 1.5), st.floats(-1, 1), st.sampled_from([0.0, 0.3]),
       st.sampled_from(["adams", "euler"]))
def test_sampling_a_linear_network_is_exact(
    gain: float, symmetry: float, noise: float, scheme: str
) -> None:
    # matched sources: the sampled sweep must equal the deterministic one to rounding
    options = {"symmetry": symmetry, "noise": noise, "duration": 2.0, "dt": 0.1, "scheme": scheme,
               "smooth": False}
    exact = two_time(gain, "linear", **options)  # type: ignore[arg-type]
    drawn = two_time(gain, "linear", method="sampled", trajectories=400, replicas=2,
                     **options)  # type: ignore[arg-type]
    assert exact.method == "linear" and drawn.method == "sampled"
    assert np.abs(exact.covariance - drawn.covariance).max() < 1e-10
    assert np.abs(exact.response - drawn.response).max() < 1e-10
    if symmetry == 0.0:
        closed = two_time(gain, "linear", method="gaussian", **options)  # type: ignore[arg-type]
        assert np.abs(exact.covariance - closed.covariance).max() < 1e-8


def test_linear_and_gaussian_closures_agree() -> None:
    linear, closed = (two_time(0.9, "linear", method=m, duration=5.0, dt=0.1, noise=0.2)
                      for m in ("linear", "gaussian"))
    assert np.abs(linear.covariance - closed.covariance).max() < 1e-9
    assert np.abs(linear.response - closed.response).max() < 1e-12


def test_sampled_agrees_with_the_closure_within_its_errors() -> None:
    exact = two_time(2.0, duration=6.0, dt=0.1)
    drawn = two_time(2.0, duration=6.0, dt=0.1, method="sampled", trajectories=16000, replicas=16,
                     seed=1)
    for name in ("x", "phi"):
        difference = drawn.covariances[name] - exact.covariances[name]
        size = np.sqrt(np.mean(drawn.errors[name] ** 2))
        assert 0.3 < np.sqrt(np.mean(difference**2)) / size < 2.0
        assert size < 0.01
    lags = np.tril_indices(61, -1)
    difference = (drawn.phi_response - exact.phi_response)[lags]
    size = np.sqrt(np.mean(drawn.errors["phi/h"][lags] ** 2))
    assert 0.5 < np.sqrt(np.mean(difference**2)) / size < 1.5
    assert drawn.response == pytest.approx(exact.response, abs=1e-3)  # no disorder in a leak


def test_errors_fall_with_the_trajectories() -> None:
    few, many = (two_time(1.5, symmetry=0.5, duration=3.0, dt=0.1, trajectories=k, replicas=16)
                 for k in (16 * 200, 16 * 3200))
    ratio = np.sqrt(np.mean(few.errors["x"] ** 2) / np.mean(many.errors["x"] ** 2))
    assert 2.5 < ratio < 6.5  # 4


def test_invariants_of_a_sampled_solution() -> None:
    result = two_time(1.5, symmetry=-0.5, duration=4.0, dt=0.1, noise=0.1, trajectories=3200)
    for covariance in result.covariances.values():
        assert np.array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > -1e-10
    for response in result.responses.values():
        assert np.array_equal(response, np.tril(response))
    assert result.status == "finished" and result.iterations == 1
    again = two_time(1.5, symmetry=-0.5, duration=4.0, dt=0.1, noise=0.1, trajectories=3200)
    assert np.array_equal(again.covariance, result.covariance)  # same seed, same bits
    with pytest.raises(InputError):
        _ = result.energy


def test_input_adds_its_covariance() -> None:
    # without couplings x is the filtered input: C = K q Kᵀ for a constant input is (1 - e^-t)² q
    times = 0.05 * np.arange(81)
    for method in ("gaussian", "sampled"):
        result = two_time(0.0, duration=4.0, dt=0.05, initial_variance=0.0, method=method,
                          input_covariance=np.full((81, 81), 2.0), replicas=2)
        wanted = 2 * np.outer(1 - np.exp(-times), 1 - np.exp(-times))
        assert np.abs(result.covariance - wanted).max() < 4e-3


def test_what_is_not_a_covariance_is_refused() -> None:
    good = np.eye(11)
    for bad in (-good, np.eye(7), np.full((11, 11), np.nan), np.triu(np.ones((11, 11))),
                2 * np.ones((11, 11)) - 3 * good):
        with pytest.raises(InputError, match="covariance"):
            two_time(1.0, duration=1.0, dt=0.1, input_covariance=bad)


@pytest.mark.parametrize("change", [
    {"gain": -1.0}, {"gain": math.nan}, {"symmetry": 1.5}, {"duration": -1.0}, {"dt": 0.0},
    {"dt": 2.0}, {"noise": -0.1}, {"initial_variance": math.inf}, {"scheme": "rk9"},
    {"method": "gaussian", "symmetry": 0.5}, {"method": "linear"}, {"method": "guess"},
    {"symmetry": 0.5, "replicas": 1}, {"symmetry": 0.5, "trajectories": 10}, {"dt": 1e-5},
])
def test_bad_arguments_are_refused(change: dict[str, object]) -> None:
    arguments: dict[str, object] = {"gain": 1.0, "duration": 1.0, "dt": 0.1, **change}
    with pytest.raises(InputError):
        two_time(**arguments)  # type: ignore[arg-type]


def test_divergence_is_a_status() -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        result = two_time(60.0, "linear", symmetry=1.0, duration=20.0, dt=0.1)
    assert not np.isinf(result.covariance).any()
    assert result.status == "diverged"
    assert np.isnan(result.covariance[-1, -1]) and np.isfinite(result.covariance[0, 0])


def test_saves_and_loads(tmp_path: Path) -> None:
    result = two_time(0.5, "linear", symmetry=0.5, duration=1.0, dt=0.1)
    loaded = TwoTime.load(result.save(tmp_path / "two.h5"))
    assert np.array_equal(loaded.response, result.response)
    assert loaded.settings == result.settings and loaded.status == result.status
    (tmp_path / "bad.h5").write_bytes(b"no")
    with pytest.raises(FormatError):
        TwoTime.load(tmp_path / "bad.h5")
    with pytest.raises(InputError):
        TwoTime.load(tmp_path / "none.h5")


@pytest.mark.slow
@pytest.mark.parametrize("symmetry", [-0.5, 0.5])
def test_agrees_with_elliptic_networks(symmetry: float) -> None:
    theory = two_time(1.5, symmetry=symmetry, duration=8.0, dt=0.1, replicas=8)
    n, draws = 600, []
    for seed in range(12):
        flow = Flow(gaussian_couplings(n, 1.5, symmetry=symmetry, seed=seed, storage="dense"))
        x, last, states = np.random.default_rng([seed, 7]).standard_normal(n), None, []
        for _ in range(81):  # the theory's own scheme, so no error of the step is left
            states.append(x)
            drift = flow.drift(x)
            x = x + 0.1 * (drift if last is None else 1.5 * drift - 0.5 * last)
            last = drift
        value = np.array(states)
        draws.append(value @ value.T / n)
    error = np.std(draws, axis=0, ddof=1) / math.sqrt(len(draws))
    size = np.sqrt(np.mean(error**2 + theory.errors["x"] ** 2))
    difference = theory.covariance - np.mean(draws, axis=0)
    assert 0.2 < np.sqrt(np.mean(difference**2)) / size < 2.5
    wrong = two_time(1.5, duration=8.0, dt=0.1)  # without the reaction term it is far off
    assert np.sqrt(np.mean((wrong.covariance - np.mean(draws, axis=0)) ** 2)) > 6 * size
