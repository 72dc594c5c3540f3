"""Fixed points, slow points, end states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurosparse.dynamics import (
    Flow,
    HebbianFlow,
    Map,
    end_states,
    find_fixed_points,
    gaussian_couplings,
    simulate,
)
from neurosparse.errors import InputError

J = gaussian_couplings(60, 2.0, seed=2)


def test_one_neuron_has_three_known_points() -> None:
    # x = w tanh x at w = 2: 0 and ±1.9150080481545567
    found = find_fixed_points(Flow([[2.0]]), starts=40, scale=2.0).only("fixed")
    np.testing.assert_allclose(np.sort(found.states[:, 0]), [-1.9150080481545567, 0,
                                                            1.9150080481545567], atol=1e-9)
    order = np.argsort(np.abs(found.states[:, 0]))
    assert found.index[order].tolist() == [1, 0, 0]
    slope = 1 / np.cosh(1.9150080481545567) ** 2
    np.testing.assert_allclose(found.instability[order], [1, 2 * slope - 1, 2 * slope - 1],
                               atol=1e-9)
    assert found.hits.sum() <= 40


def test_a_minimum_above_zero_is_called_one() -> None:
    # f = -x + 2 tanh x + 0.6 has one zero only; near x = -0.88 it has an extremum: E' = f f' = 0
    flow = Flow([[2.0]], drive=[0.6], drive_inside=True)
    found = find_fixed_points(flow, from_states=[[-1.5], [-0.9], [3.0]])
    minimum = found.only("minimum E>0")
    assert len(minimum) == 1
    extremum = -np.arccosh(np.sqrt(2.0))
    assert minimum.states[0, 0] == pytest.approx(extremum, abs=1e-5)
    assert minimum.energies[0] == pytest.approx(
        0.5 * (-extremum + 2 * np.tanh(extremum) + 0.6) ** 2, rel=1e-9)
    assert found.kinds[0] == "fixed"
    assert len(found.only("fixed")) == 1


def test_points_are_zeros_of_every_regulated_flow() -> None:  # papers.md (f)5
    found = find_fixed_points(Flow(J), starts=6)
    fixed = found.only("fixed")
    assert len(fixed) >= 1
    for x in fixed.states:
        for gamma in (0.0, 0.4, 1.0):
            assert np.abs(Flow(J, gamma).drift(x)).max() < 1e-7
    rest = found.only("minimum E>0")
    for x, energy in zip(rest.states, rest.energies, strict=True):
        flow = Flow(J)
        f = flow.speed(x)
        # f in the kernel of (∂f)ᵀ, E > 0
        assert energy > 1e-12
        assert np.abs(flow.jacobian(x).T @ f).max() < 1e-6
        assert np.linalg.eigvalsh(-Flow(J, 1.0).jacobian(x))[0] > -1e-5


def test_index_is_that_of_the_vanilla_jacobian() -> None:
    found = find_fixed_points(Flow(J, 1.0), starts=4)
    for x, index, spectrum in zip(found.states, found.index, found.spectra, strict=True):
        values = np.linalg.eigvals(Flow(J).jacobian(x))
        assert index == (values.real > 1e-9).sum()
        np.testing.assert_allclose(np.sort(spectrum.real), np.sort(values.real), atol=1e-9)
        assert (np.diff(spectrum.real) <= 0).all()


def test_symmetric_couplings_keep_their_fixed_points_under_gamma_one() -> None:  # papers.md (f)4
    S = gaussian_couplings(40, 1.6, symmetry=1.0, seed=5)
    settled = simulate(Flow(S), duration=400.0, record_every=100.0, method="adaptive")
    # a Lyapunov function: no chaos, the vanilla flow comes to rest
    assert settled.energy[-1] < 1e-10
    point = find_fixed_points(Flow(S), from_states=settled.final).only("fixed")
    assert len(point) == 1
    assert point.index[0] == 0
    nudge = 1e-3 * np.random.default_rng(0).standard_normal(40)
    after = simulate(Flow(S, 1.0), point.states[0] + nudge, duration=400.0, record_every=100.0)
    np.testing.assert_allclose(after.final, point.states[0], atol=1e-4)


def test_rest_is_the_only_point_below_the_transition() -> None:
    found = find_fixed_points(Flow(gaussian_couplings(40, 0.6)), starts=5)
    assert found.kinds == ("fixed",)
    assert found.hits.tolist() == [5]
    np.testing.assert_allclose(found.states, 0, atol=1e-8)
    assert found.index.tolist() == [0]


def test_end_states_of_the_regulated_flow() -> None:
    ends = end_states(Flow(J, 1.0), starts=5, duration=60.0, seed=1)
    assert ends.final.shape == ends.points.shape == (5, 60)
    assert sum(ends.counts.values()) == 5
    assert (np.diff(ends.energies, axis=0) <= 1e-9 * ends.energies[0]).all()
    assert (ends.point_energies <= ends.energies[-1] + 1e-12).all()
    fixed = np.array([kind == "fixed" for kind in ends.kinds])
    assert (ends.point_energies[fixed] < 1e-15).all()
    assert (ends.point_energies[~fixed] > 1e-12).all()
    # the claim of the paper: what is approached is unstable under the vanilla flow
    assert (ends.index[fixed] > 0).all()
    assert (ends.instability[fixed] > 0).all()
    # nearer than chaos is
    chaos = end_states(Flow(J, 0.0), starts=5, duration=60.0, seed=1)
    assert np.median(ends.distances) < 0.6 * np.median(chaos.distances)


def test_end_states_repeat_and_take_own_starts() -> None:
    X = np.random.default_rng(0).standard_normal((2, 60))
    a = end_states(Flow(J, 1.0), x0=X, duration=5.0, spectra=False)
    b = end_states(Flow(J, 1.0), x0=X[:1], duration=5.0, spectra=False)
    np.testing.assert_allclose(a.final[0], b.final[0], atol=1e-10)
    assert a.index.tolist() == [-1, -1]
    assert np.isnan(a.instability).all()


@pytest.mark.parametrize(("duration", "looks", "dt"), [(2.0, 3, 0.13), (0.05, 1, 0.1),
                                                       (2.0, 4, 0.05)])
def test_end_states_look_at_whole_steps(duration: float, looks: int, dt: float) -> None:
    ends = end_states(Flow(J, 1.0), starts=1, duration=duration, looks=looks, dt=dt, spectra=False)
    apart = np.diff(ends.times)
    np.testing.assert_allclose(apart, apart[0], rtol=1e-9)
    assert apart[0] / dt == pytest.approx(round(apart[0] / dt), rel=1e-9)
    assert abs(ends.times[-1] - duration) <= apart[0] / 2 * (1 + 1e-9)


@pytest.mark.parametrize("find", [find_fixed_points, end_states])
def test_maps_and_plastic_networks_are_refused(find: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"a HebbianFlow.*frozen"):
        find(HebbianFlow(J, 1.0))
    with pytest.raises(InputError, match=r"a Map.*multiplier 1 \+ δ λ"):
        find(Map([[-3.0]]))


@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_multipliers_of_a_map_from_the_flow(delta: float) -> None:
    """What the refusal says: a flow with the drive inside has the map's points and multipliers."""
    own, drive = gaussian_couplings(12, 0.9, seed=2), np.linspace(-1.0, 1.0, 12)
    points = find_fixed_points(Flow(own, drive=drive, drive_inside=True), starts=3).only("fixed")
    assert len(points) >= 1
    system = Map(own, delta, drive=drive)
    for x, spectrum in zip(points.states, points.spectra, strict=True):
        np.testing.assert_allclose(system.step(x), x, atol=1e-8)
        multipliers = np.linalg.eigvals(system.linearise(x).matmat(np.eye(12)))
        apart = np.abs(1 + delta * spectrum[:, None] - multipliers)
        assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 1e-8


def test_refused() -> None:
    with pytest.raises(InputError, match="seed -1"):
        find_fixed_points(Flow(J), seed=-1)
    with pytest.raises(InputError, match="seed -1"):
        end_states(Flow(J), seed=-1)
    with pytest.raises(InputError, match="duration"):
        end_states(Flow(J), duration=0.0)
    with pytest.raises(InputError, match="dt"):
        end_states(Flow(J), dt=0.0)
    with pytest.raises(InputError, match="outside the energy"):
        find_fixed_points(Flow(J, 1.0, drive=0.2))
    with pytest.raises(InputError, match="from_states"):
        find_fixed_points(Flow(J), from_states=np.ones((2, 3)))
    with pytest.raises(InputError, match="starts"):
        find_fixed_points(Flow(J), starts=0)
    with pytest.raises(InputError, match="tolerance"):
        find_fixed_points(Flow(J), tolerance=0.0)
    with pytest.raises(InputError, match="second derivative"):
        find_fixed_points(Flow(J, 0.0, (np.sin, np.cos)))
    with pytest.raises(InputError, match="looks"):
        end_states(Flow(J), looks=0)
