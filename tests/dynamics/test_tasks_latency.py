"""Latency: geometric waits where the network does nothing, and the sweep over gain."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from neurosparse.dynamics import Flow, sigmoid
from neurosparse.dynamics.tasks import neural_latency, task_over_gain
from neurosparse.errors import InputError


@pytest.fixture(scope="module")
def still() -> Flow:
    return Flow(sparse.csr_array((5000, 5000), dtype=float), phi=sigmoid(0.2))


def test_rest_gives_seven_steps(still: Flow) -> None:
    """papers.md 1(f)9: ⌈ln 2 / -ln 0.9⌉ = 7."""
    latency = neural_latency(still, pulses=(0, 1), height=0.0, repeats=4)
    np.testing.assert_array_equal(latency.median, math.ceil(math.log(2) / -math.log(0.9)))
    assert latency.median[0] == 7 and not latency.silent.any()
    # all of the law, not its median alone: P(wait > m) = 0.9^m
    waits = latency.latencies.ravel()
    for m in (1, 3, 10, 20):
        expected = 0.9**m
        error = math.sqrt(expected * (1 - expected) / waits.size)
        assert abs((waits > m).mean() - expected) < 4 * error
    assert waits.min() == 1
    # P(wait <= 13) = 0.746, P(wait <= 14) = 0.771
    np.testing.assert_allclose(latency.quartiles[0], [3.0, 14.0], atol=0.51)


def test_strong_pulses_hasten(still: Flow) -> None:
    latency = neural_latency(still, pulses=(1, 100), height=1.0, repeats=3)
    # 100 pulses of 1 at decay 0.99 a step: x about 64, the rate is at its top of 0.2
    assert np.median(latency.latencies[1]) == math.ceil(math.log(2) / -math.log(0.8))
    # one pulse and the last: x between 1.4 and 2, rate about 0.17
    assert 0.15 < 1.0 / latency.latencies[0].mean() < 0.18
    weak = neural_latency(still, pulses=(100,), height=1.0, stimulus="current", repeats=3)
    assert weak.median[0] == pytest.approx(6, abs=1)  # x about 0.64, rate 0.13


def test_every_neuron_gets_its_pulses(still: Flow) -> None:
    """Without decay or firing the state after the stimulus counts them."""
    seen: list[float] = []

    class Counting(Flow):
        def drift(self, x: Any, t: float = 0.0) -> Any:
            seen.append(float(x.max()))
            return np.zeros_like(x)

    neural_latency(Counting(np.zeros((30, 30)), phi=sigmoid(0.2)), pulses=(17,), height=1.0,
                   repeats=2, steps=1)
    assert seen[-1] == 18.0  # 17, and one for all


def test_silent_neurons_are_late_not_lost(still: Flow) -> None:
    latency = neural_latency(still, pulses=(0,), height=0.0, steps=3, repeats=2)
    assert latency.silent[0] == pytest.approx(0.9**3, abs=0.02)
    assert math.isinf(latency.median[0])
    assert math.isinf(latency.quartiles[0, 1]) and latency.quartiles[0, 0] <= 3


@pytest.mark.parametrize(("arguments", "named"), [
    ({"pulses": ()}, "pulses"), ({"pulses": (101,)}, "pulses"), ({"pulses": (1.5,)}, "pulses"),
    ({"window": 0}, "window"), ({"dt": 0.0}, "dt"), ({"stimulus": "light"}, "light"),
    ({"x0": np.zeros(3)}, "x0"), ({"flow": Flow(np.zeros((2, 2)))}, "rate of 0"),
    ({"seed": -1}, "seed -1"),
])
def test_bad_input_is_named(still: Flow, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        neural_latency(**{"flow": still, **arguments})


def test_tasks_over_gain_are_paired_by_draw(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"n": 15, "draws": 3, "workers": 0,
                             "options": {"steps": 120, "delays": [1, 3], "transient": 20}}
    curves = task_over_gain("memory", [0.5, 2.0], [0.0, 1.0], store=tmp_path / "m.h5", **asked)
    assert curves.mean["scores"].shape == (2, 2, 2) and curves.mean["capacity"].shape == (2, 2)
    assert curves.difference["scores"].shape == (2, 2)
    np.testing.assert_array_equal(
        curves.median["capacity"], np.median(curves.sweep.values["capacity"][..., 0], axis=2))
    np.testing.assert_allclose(
        curves.difference["capacity"],
        curves.mean["capacity"][:, 1] - curves.mean["capacity"][:, 0], atol=1e-12,
    )
    # one γ twice: the same networks, so no difference at all
    same = task_over_gain("memory", [2.0], [0.5, 0.5], **asked)
    np.testing.assert_array_equal(same.difference["scores"], 0.0)
    assert (same.stderr["capacity"] > 0).all()
    with pytest.raises(InputError, match="'chess'"):
        task_over_gain("chess", [1.0])


@pytest.mark.parametrize(("task", "options", "name"), [
    ("prediction", {"steps": 60, "delays": [1], "transient": 0}, "scores"),
    ("force", {"train": 5.0, "test": 2.0}, "test_score"),
    ("latency", {"pulses": [1, 3], "steps": 50, "repeats": 2}, "median"),
])
def test_all_tasks_run_over_gain(task: str, options: dict[str, Any], name: str) -> None:
    curves = task_over_gain(task, [1.0], n=20, draws=2, options=options, workers=0)
    assert np.isfinite(curves.mean[name]).all()
