"""Going on, in memory and from a file, is the same as one long run."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse import dynamics, lyapunov
from neurosparse.errors import FormatError, InputError
from neurosparse.lyapunov import MatrixSequence, Spectrum, System, gallery
from neurosparse.lyapunov.blocklog import BlockLog, most_blocks

OPTIONS = {"transient": 10.0, "warmup": 20.0, "interval": 0.5}


def plain_lorenz() -> System:
    compiled = gallery.lorenz63()
    sigma, rho, beta = compiled.parameters

    def rhs(t, x):
        return np.array(
            [sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]]
        )

    def tangent(t, x, v):
        matrix = np.array([[-sigma, sigma, 0], [rho - x[2], -1, -x[0]], [x[1], x[0], -beta]])
        return matrix @ v

    return System(rhs, tangent, 3, trace=compiled.trace, x0=compiled.x0)


def network() -> dynamics.Flow:
    return dynamics.Flow(dynamics.gaussian_couplings(12, 2.0, seed=3))


CASES = {
    "compiled": (gallery.lorenz63, {}),
    "plain": (plain_lorenz, {"dt": 0.02, "transient": 1.0, "warmup": 2.0}),
    "map": (gallery.henon, {"interval": 2}),
    "network": (network, {}),
    "products": (
        lambda: MatrixSequence(np.random.default_rng(1).standard_normal((400, 3, 3))),
        {"interval": 1, "transient": 0},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_extend_equals_one_long_run(name, tmp_path):
    make, more = CASES[name]
    options = {**OPTIONS, **more}
    system = make()
    whole = lyapunov.spectrum(make(), duration=24.0, **options)
    first = lyapunov.spectrum(system, duration=12.0, **options)
    before = first.exponents.copy()
    twice = first.extend(duration=12.0)
    first.save(tmp_path / "first.h5")
    loaded = Spectrum.load(tmp_path / "first.h5").extend(duration=12.0, system=make())
    for found in (twice, loaded):
        assert abs(found.duration - whole.duration) < 1e-9
        assert np.abs(found.exponents - whole.exponents).max() < 1e-12
        assert np.allclose(found.stderr, whole.stderr, rtol=1e-9)
        assert np.allclose(found.block_logs, whole.block_logs, atol=1e-12)
        if whole.sum_rule_residual is not None:
            assert abs(found.sum_rule_residual - whole.sum_rule_residual) < 1e-12
    # what was extended is as it was, and can be extended again
    assert (first.exponents == before).all()
    assert np.abs(first.extend(duration=12.0).exponents - whole.exponents).max() < 1e-12


def test_extend_to_a_precision():
    first = lyapunov.spectrum(gallery.lorenz63(), duration=50.0)
    found = first.extend(precision=0.02)
    assert found.status is lyapunov.Status.CONVERGED
    assert found.stderr.max() <= 0.02 < first.stderr.max()
    assert found.duration > first.duration


def test_a_file_holds_everything(tmp_path):
    found = lyapunov.spectrum(gallery.lorenz63(), duration=40.0, covariant=True)
    found.save(tmp_path / "s.h5")
    again = Spectrum.load(tmp_path / "s.h5")
    for name in ("exponents", "stderr", "effective_samples", "block_logs", "frame"):
        assert (getattr(again, name) == getattr(found, name)).all()
    for name in (
        "status", "size", "k", "duration", "transient", "warmup", "unit", "interval", "settings",
        "volume", "sum_rule_residual", "kaplan_yorke", "entropy_rate", "kaplan_yorke_stderr",
    ):  # fmt: skip
        assert getattr(again, name) == getattr(found, name)
    assert (again.covariant.vectors == found.covariant.vectors).all()
    with pytest.raises(InputError, match="no system"):
        again.extend(duration=1.0)
    with pytest.raises(InputError, match="size 2"):
        again.extend(duration=1.0, system=gallery.henon())


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Spectrum.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FormatError):
        Spectrum.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs.update(format="neurosparse.spectrum", version=99)
    with pytest.raises(FormatError, match="99"):
        Spectrum.load(tmp_path / "other.h5")


def test_an_iterator_cannot_go_back():
    found = lyapunov.spectrum(MatrixSequence((np.eye(2) for _ in range(50)), 2), duration=20)
    with pytest.raises(InputError, match="list or callable"):
        found.extend(duration=10)


@given(
    chunks=st.lists(st.integers(1, 700), min_size=1, max_size=12), k=st.sampled_from([1, 2, 1500])
)
@settings(max_examples=25, deadline=None)
def test_block_log_merges_and_loses_nothing(chunks, k):
    chunks = [c * (4 if k < 10 else 1) for c in chunks]
    logs = np.random.default_rng(0).integers(-8, 8, (sum(chunks), k)).astype(float)
    log, start = BlockLog(k), 0
    for chunk in chunks:
        log.add(logs[start : start + chunk])
        start += chunk
    assert log.count == len(logs)
    assert (log.total == logs.sum(axis=0)).all()
    assert len(log.rows) <= most_blocks(k)
    whole = len(log.rows) * log.merged
    assert whole + log.rested == len(logs)
    exact = logs[:whole].reshape(-1, log.merged, k).sum(axis=1)
    assert (log.rows == exact).all()
    assert (log.rest == logs[whole:].sum(axis=0)).all()


def test_long_runs_keep_their_memory_and_error():
    found = lyapunov.spectrum(gallery.henon(), duration=2e5, interval=2)
    assert len(found.block_logs) <= 4096
    assert found.block_time * len(found.block_logs) <= found.duration
    times, running = found.running()
    assert np.abs(running[-1] - found.exponents).max() < 1e-3
    assert times[-1] <= found.duration
    short = lyapunov.spectrum(gallery.henon(), duration=8000, interval=2)
    # 25 times longer, a fifth of the error: merging does not change what the error is
    assert 3.5 < short.stderr[0] / found.stderr[0] < 7
