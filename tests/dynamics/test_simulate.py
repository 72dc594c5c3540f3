"""Runs: orders of convergence, records, how they end, what is refused."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

import neurosparse.dynamics.trajectory_file as trajectory_file
from neurosparse.dynamics import (
    METHODS,
    Flow,
    Map,
    StabilityWarning,
    Trajectory,
    gaussian_couplings,
    simulate,
)
from neurosparse.dynamics.clock import make_clock
from neurosparse.errors import FormatError, InputError, NeurosparseError, StorageError

N = 16
J = gaussian_couplings(N, 1.5, seed=1)
X0 = np.random.default_rng(5).standard_normal(N)


def end(flow: Any, **options: Any) -> np.ndarray:
    return simulate(flow, X0, energy=False, **options).final


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk4", 4), ("heun", 2)])
@pytest.mark.parametrize("gamma", [0.0, 0.8])
def test_order_of_convergence_with_a_moving_drive(method: str, order: int, gamma: float) -> None:
    flow = Flow(J, gamma, drive=lambda t: np.sin(2 * t) * np.arange(N) / N, drive_inside=True)
    exact = end(flow, duration=1.0, dt=0.5, method="adaptive", tolerance=1e-13)
    errors = [np.linalg.norm(end(flow, duration=1.0, dt=dt, method=method) - exact)
              for dt in (0.02, 0.01)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("method", ["adaptive", "dop853", "rk45", "stiff", "lsoda", "bdf", "radau"])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_scipy_methods_solve_a_linear_flow(method: str, gamma: float) -> None:
    flow = Flow(0.5 * J, gamma, "linear")
    exact = expm(flow.jacobian(X0) * 3.0) @ X0
    error = np.abs(end(flow, duration=3.0, method=method, tolerance=1e-9) - exact).max()
    assert error < 1e-6
    # the tolerance is what makes it so
    assert np.abs(end(flow, duration=3.0, method=method, tolerance=1e-3) - exact).max() > error


def test_records_between_the_steps_of_an_adaptive_method_are_as_good() -> None:
    flow = Flow(0.5 * J, 0.3, "linear")
    run = simulate(flow, X0, duration=3.0, dt=0.05, method="adaptive", tolerance=1e-10)
    exact = np.stack([expm(flow.jacobian(X0) * t) @ X0 for t in run.times])
    np.testing.assert_allclose(run.states, exact, atol=1e-8)


def test_records_transient_and_interval() -> None:
    whole = simulate(Flow(J), X0, duration=2.0, dt=0.05)
    part = simulate(Flow(J), X0, duration=2.0, dt=0.05, transient=1.0, record_every=0.25)
    np.testing.assert_allclose(part.times, [1.0, 1.25, 1.5, 1.75, 2.0], rtol=1e-14)
    np.testing.assert_array_equal(part.states, whole.states[20::5])
    np.testing.assert_array_equal(part.energy, whole.energy[20::5])
    np.testing.assert_array_equal(whole.states[0], X0)
    assert whole.energy[7] == pytest.approx(Flow(J).energy(whole.states[7]))
    assert part.status == "finished"
    assert part.settings["method"] == "rk4"


def test_a_step_that_is_not_given_fits_the_records() -> None:
    run = simulate(Flow(J), X0, duration=1.0, record_every=1 / 3)
    np.testing.assert_allclose(run.times, [0, 1 / 3, 2 / 3, 1], rtol=1e-12)


@pytest.mark.parametrize("times", [
    {"duration": 0.33}, {"duration": 0.33, "method": "adaptive"},
    {"duration": 0.8, "transient": 0.3},
    {"duration": 0.99, "transient": 0.03, "record_every": 0.24},
])
def test_a_step_that_is_not_given_fits_duration_and_transient(times: dict[str, Any]) -> None:
    run = simulate(Flow(J), X0, **times)
    assert run.times[0] == pytest.approx(times.get("transient", 0.0), rel=1e-9)
    assert run.times[-1] == pytest.approx(times["duration"], rel=1e-9)
    assert run.settings["duration"] == pytest.approx(times["duration"], rel=1e-9)


@pytest.mark.parametrize("times", [
    {"duration": 10.0, "record_every": 20.0}, {"duration": 1.0, "record_every": 0.3},
    {"duration": 1.0, "record_every": 0.3, "dt": 0.1}, {"duration": 1.0, "dt": 0.3},
    {"duration": 1.6, "transient": 0.5, "record_every": 0.5, "dt": 0.05},
    {"duration": 0.6, "transient": 0.5, "record_every": 0.5, "dt": 0.05},
])
def test_records_do_not_decide_how_long_a_run_is(times: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"duration .*whole number of record intervals") as caught:
        simulate(Flow(J), X0, **times)
    # what the message offers is run, on both sides of what was asked
    offers = re.findall(r"[Tt]ake (\w+) (\d+(?:\.\d+)?)(?: or (\d+(?:\.\d+)?))?", caught.value.mend)
    assert {name for name, *_ in offers} == {"duration", *(["transient"] * ("transient" in times))}
    for name, *values in offers:
        assert values[1] == "" or float(values[0]) < times[name] < float(values[1])
        for value in filter(None, values):
            fitting = {**times, name: float(value)}
            run = simulate(Flow(J), X0, **fitting)
            assert run.times[-1] == pytest.approx(fitting["duration"], rel=1e-9)
            assert run.times[0] == pytest.approx(fitting.get("transient", 0.0), rel=1e-9, abs=1e-9)


def test_a_transient_is_a_whole_number_of_steps() -> None:
    with pytest.raises(InputError, match=r"transient 0\.33 .* Take transient 0\.3 or 0\.4\."):
        simulate(Flow(J), X0, duration=2.0, transient=0.33, dt=0.1)


@given(st.floats(0.01, 50), st.floats(0, 50), st.none() | st.floats(0.003, 2),
       st.none() | st.integers(1, 40), st.floats(0.01, 0.2))
def test_a_clock_keeps_to_what_was_asked(duration: float, transient: float, dt: float | None,
                                         every: int | None, longest: float) -> None:
    interval = None if every is None else every * (0.07 if dt is None else dt)
    # half of the examples fit by construction
    if every is not None and every % 2:
        transient = round(transient / interval) * interval
        duration = transient + every * interval
    try:
        clock = make_clock(duration, transient, dt, interval, longest)
    except InputError:
        return
    assert clock.times[0] == pytest.approx(transient, rel=1e-8, abs=1e-12)
    assert clock.times[-1] == pytest.approx(duration, rel=1e-8)
    assert clock.dt == dt if dt is not None else clock.dt <= longest * (1 + 1e-8)
    if interval is not None:
        np.testing.assert_allclose(np.diff(clock.times), interval, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_many_states_at_once_are_the_single_runs(gamma: float) -> None:
    X = np.random.default_rng(0).standard_normal((N, 3))
    for method in ("rk4", "euler", "adaptive"):
        many = simulate(Flow(J, gamma), X, duration=1.0, dt=0.05, method=method)
        one = simulate(Flow(J, gamma), X[:, 1], duration=1.0, dt=0.05, method=method)
        np.testing.assert_allclose(many.states[:, :, 1], one.states, atol=1e-7)
        np.testing.assert_allclose(many.energy[:, 1], one.energy, rtol=1e-5)


@pytest.mark.parametrize("method", ["rk4", "euler", "adaptive", "stiff"])
def test_energy_falls_at_gamma_one(method: str) -> None:  # papers.md (f)2
    run = simulate(Flow(gaussian_couplings(60, 2.0), 1.0), duration=30.0, method=method)
    assert (np.diff(run.energy) <= 1e-9 * run.energy[0]).all()
    assert run.energy[-1] < 0.02 * run.energy[0]
    vanilla = simulate(Flow(gaussian_couplings(60, 2.0), 0.0), duration=30.0)
    assert (np.diff(vanilla.energy) > 0).any()


def test_rate_of_energy_is_minus_the_squared_gradient() -> None:
    flow = Flow(J, 1.0)
    run = simulate(flow, X0, duration=0.5, dt=1e-3)
    rate = (run.energy[201] - run.energy[199]) / 2e-3
    gradient = flow.gradient(run.states[200])
    assert rate == pytest.approx(-gradient @ gradient, rel=1e-4)


def test_same_seed_same_bits_and_streams_apart_from_the_couplings() -> None:
    flow = Flow(J, 1.0, temperature=0.1)
    a, b = (simulate(flow, duration=1.0, seed=4) for _ in range(2))
    np.testing.assert_array_equal(a.states, b.states)
    assert not np.array_equal(a.states[0], simulate(flow, duration=1.0, seed=5).states[0])
    # the start must not be the first numbers of a matrix drawn from the same seed
    start = simulate(Flow(J), duration=1.0, seed=1).states[0]
    drawn = np.random.default_rng(1).standard_normal(N)
    assert np.abs(start - drawn).max() > 0.1


@pytest.mark.parametrize("method", ["rk4", "euler", "adaptive", "stiff"])
def test_divergence_is_a_status_and_an_error_only_if_asked(method: str) -> None:
    # numerics.md 1.7 row 13: an unbounded gain runs away silently elsewhere
    flow = Flow(gaussian_couplings(40, 4.0), phi="relu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = simulate(flow, duration=100.0, method=method)
    assert run.status == "diverged"
    assert 1.0 < run.times[-1] < 60.0
    assert len(run.states) == len(run.times) == len(run.energy)
    assert np.isfinite(run.states).all()
    assert run.settings["diverged_at"] >= run.times[-1]
    with pytest.raises(NeurosparseError, match="beyond"):
        simulate(flow, duration=100.0, method=method, on_divergence="raise")


def test_divergence_of_a_nan_between_records() -> None:
    flow = Flow(-400.0 * np.eye(3), phi="linear")
    with pytest.warns(StabilityWarning):
        run = simulate(flow, duration=1000.0, dt=1.0, record_every=500.0)
    assert run.status == "diverged"
    assert len(run.times) == 1


def test_a_step_outside_the_stable_range_is_warned_about() -> None:
    flow = Flow(gaussian_couplings(50, 3.0), 1.0)
    longest = flow.stable_step("euler")
    with pytest.warns(StabilityWarning, match="beyond the stable range"):
        simulate(flow, duration=3.03 * longest, dt=1.01 * longest, method="euler")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(flow, duration=2.97 * longest, dt=0.99 * longest, method="euler")
        for method in ("rk4", "euler"):
            simulate(flow, duration=1.0, method=method)


def test_streamed_run_reads_like_the_one_in_memory(tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    memory = simulate(Flow(J, 0.5), X0, duration=2.0, dt=0.02)
    # blocks of seven records: several full ones and a rest
    monkeypatch.setattr(trajectory_file, "_BUFFER", 7 * 8 * N)
    path = tmp_path / "deep" / "run.h5"
    with simulate(Flow(J, 0.5), X0, duration=2.0, dt=0.02, store=path) as stored:
        assert isinstance(stored.states, h5py.Dataset)
        np.testing.assert_array_equal(stored.states[()], memory.states)
        np.testing.assert_array_equal(stored.energy, memory.energy)
        np.testing.assert_array_equal(stored.times, memory.times)
        np.testing.assert_array_equal(stored.final, memory.final)
        assert stored.settings == memory.settings
        assert stored.path == path
    assert [p.name for p in path.parent.iterdir()] == ["run.h5"]


def test_streaming_holds_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trajectory_file, "_BUFFER", 64 * 1000 * 8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        recorder = trajectory_file.Recorder(10**6, (1000,), (), file)
        assert recorder.states.shape == (64, 1000)


def test_diverged_run_is_stored_up_to_there(tmp_path: Path) -> None:
    flow = Flow(gaussian_couplings(40, 4.0), phi="relu")
    with simulate(flow, duration=100.0, store=tmp_path / "run.h5") as run:
        assert run.status == "diverged"
        assert run.states.shape[0] == run.times.size == run.energy.size


def test_save_and_load(tmp_path: Path) -> None:
    run = simulate(Flow(J), np.outer(X0, [1.0, -1.0]), duration=1.0)
    run.save(tmp_path / "run.h5")
    with Trajectory.load(tmp_path / "run.h5") as back:
        np.testing.assert_array_equal(back.states[()], run.states)
        np.testing.assert_array_equal(back.energy, run.energy)
        assert (back.status, back.settings) == (run.status, run.settings)
    with pytest.raises(InputError, match="no such file"):
        Trajectory.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(FormatError):
        Trajectory.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "other"
    with pytest.raises(FormatError, match="other"):
        Trajectory.load(tmp_path / "other.h5")


def test_an_interrupted_run_leaves_no_file(tmp_path: Path) -> None:
    def stop(label: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(Flow(J), duration=5.0, store=tmp_path / "run.h5", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        simulate(Flow(J), duration=1.0, store=tmp_path / "file" / "run.h5")


def test_progress_ends_at_the_total() -> None:
    seen: list[tuple[str, int, int]] = []
    simulate(Flow(J), duration=3.0, dt=0.01, progress=lambda *said: seen.append(said))
    assert seen[-1] == ("simulate", 301, 301)
    assert 10 < len(seen) <= 301


@pytest.mark.parametrize(
    ("options", "says"),
    [({"duration": 0.0}, "duration"), ({"dt": 0.0}, "dt"), ({"dt": -0.1}, "dt"),
     ({"dt": math.nan}, "dt"), ({"transient": 5.0}, "transient"),
     ({"transient": -1.0}, "transient"),
     ({"dt": 0.02, "record_every": 0.05}, "record_every"), ({"record_every": 0.0}, "record_every"),
     ({"method": "leapfrog"}, "method"), ({"x0": np.ones(3)}, "x0"), ({"x0": np.nan * X0}, "x0"),
     ({"x0": np.ones((N, 0))}, "x0"), ({"x0": np.ones((N, 2)), "method": "stiff"}, "stiff"),
     ({"x0": "abc"}, "x0 'abc'"), ({"x0": [[1.0], [2.0, 3.0]]}, "x0"), ({"seed": -1}, "seed -1"),
     ({"seed": 1.5}, "seed 1.5"), ({"duration": "long"}, "duration 'long'"),
     ({"record_every": "a"}, "record_every 'a'"), ({"record_every": 1e-12, "dt": 0.1}, "multiple"),
     ({"limit": -1.0}, "limit"), ({"tolerance": -1.0}, "tolerance"),
     ({"on_divergence": "stop"}, "on_divergence"), ({"dt": 1e-9, "duration": 1e3}, "records")])
def test_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        simulate(Flow(J), **{"duration": 2.0, **options})


def test_methods_that_know_no_noise_refuse_it() -> None:
    noisy = Flow(J, temperature=0.1)
    for method in set(METHODS) - {"rk4", "euler", "heun", "euler-maruyama"}:
        with pytest.raises(InputError, match="temperature"):
            simulate(noisy, duration=1.0, method=method)
    assert simulate(noisy, duration=0.1).settings["method"] == "heun"
    assert simulate(noisy, duration=0.1, method="euler").settings["method"] == "euler-maruyama"
    assert simulate(Flow(J), duration=0.1, method="euler-maruyama").settings["method"] == "euler"


def test_freeze_and_unfreeze() -> None:
    # papers.md (c)1 in small: vanilla, then gradient, then vanilla from where it was left
    couplings = gaussian_couplings(200, 2.0, seed=3)
    chaos = simulate(Flow(couplings), duration=30.0, record_every=1.0)
    frozen = simulate(Flow(couplings, 1.0), chaos.final, duration=60.0, record_every=1.0)
    again = simulate(Flow(couplings), frozen.final, duration=60.0, record_every=1.0)
    fluctuation = [np.std(run.states[-15:], axis=0).mean() for run in (chaos, frozen, again)]
    assert fluctuation[1] < 0.05 * fluctuation[0]
    assert fluctuation[2] > 0.3 * fluctuation[0]


def test_map_runs_whole_steps() -> None:
    system = Map(J, 1.0)
    run = simulate(system, X0, duration=6, transient=2, record_every=2)
    np.testing.assert_array_equal(run.times, [2, 4, 6])
    expected = X0
    for n in range(4):
        expected = system.step(expected, n)
    np.testing.assert_allclose(run.states[1], expected, rtol=1e-14)
