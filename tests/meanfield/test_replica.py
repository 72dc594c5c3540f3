"""The replica saddle point of the energy's minima."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse.dynamics import gain
from neurosparse.errors import InputError
from neurosparse.meanfield import replica_saddle
from neurosparse.meanfield.replica import minimiser


def test_quiet_network_has_the_zero_state():
    found = replica_saddle(0.5, damping=0.5, points=31)
    assert found.status == "zero"
    assert found.energy == pytest.approx(0.0, abs=1e-9)
    # linear response about x = 0: χ = 1/(1 - g²)
    assert found.chi == pytest.approx(1 / 0.75, abs=1e-4)


def test_active_network_reaches_zero_energy():
    found = replica_saddle(2.0, damping=0.5, points=31)
    assert found.status == "zero energy"
    assert 0.3 < found.q < 0.6
    # x* follows the field, up to what is left of the energy
    assert found.state_variance == pytest.approx(4 * found.q, rel=0.1)


def test_ridge_shrinks_the_state():
    assert replica_saddle(1.5, ridge=0.3, damping=0.5, points=31).status == "zero"


def test_minimiser_against_a_fine_scan():
    rng = np.random.default_rng(0)
    tanh, (pull, centre) = gain("tanh"), 3 * rng.normal(size=(2, 200))
    found = minimiser(tanh, 0.1, 0.8, pull, centre, 2.5)

    def cost(x):
        return 0.1 * x**2 + 0.8 * np.tanh(x) ** 2 - pull * np.tanh(x) + (centre - x) ** 2 / 5

    grid = np.linspace(-14, 14, 20001)
    best = np.array([cost(x) for x in grid]).min(axis=0)
    assert (cost(found) <= best + 1e-9).all()


@pytest.mark.parametrize("arguments", [
    {"gain": 0.0}, {"gain": 1.0, "ridge": -1.0}, {"gain": 1.0, "damping": 0.0},
    {"gain": 1.0, "points": 3}, {"gain": 1.0, "start": (0.0, 1.0, 1.0, 1.0)}])
def test_bad_numbers(arguments):
    with pytest.raises(InputError):
        replica_saddle(**arguments)
