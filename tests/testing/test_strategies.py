"""What the strategies promise of what they draw."""

from __future__ import annotations

import builtins
import importlib
import itertools
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from neurosparse.errors import InputError, MissingExtraError
from neurosparse.propagation import Layer, chain_error
from neurosparse.testing import chains, inputs, masks, small_networks


@given(chains(max_layers=3, max_width=4, largest=2.0))
@settings(deadline=None)
def test_chains_fit_and_keep_their_limits(dense: list[np.ndarray]) -> None:
    assert 1 <= len(dense) <= 3
    assert all(b.shape[1] == a.shape[0] for a, b in itertools.pairwise(dense))
    assert all(max(a.shape) <= 4 and np.abs(a).max() <= 2 for a in dense)
    assert np.all(chain_error(dense, dense, backend="twin").error == 0)


@given(chains(tall=True))
@settings(deadline=None)
def test_tall_chains_are_tall(dense: list[np.ndarray]) -> None:
    assert all(a.shape[0] >= a.shape[1] for a in dense)


@given(small_networks(activations=("relu", "silu")))
@settings(deadline=None)
def test_networks_are_masked_copies(layers: list[Layer]) -> None:
    for layer in layers:
        assert layer.activation in ("relu", "silu")
        assert np.all((layer.sparse == layer.dense) | (layer.sparse == 0))


@given(st.data())
def test_inputs_and_masks_have_the_shape_asked(data: st.DataObject) -> None:
    x = data.draw(inputs(3, largest=0.5))
    assert x.shape == (3,) and np.abs(x).max() <= 0.5
    assert data.draw(masks((2, 3))).dtype == np.bool_


def test_masks_shrink_to_all_kept_and_reach_every_sparsity() -> None:
    assert find(masks((2, 2)), lambda m: True).all()
    assert not find(masks((2, 2)), lambda m: not m.any()).any()


def test_bad_limits_are_named() -> None:
    with pytest.raises(InputError, match="width"):
        inputs(0)
    with pytest.raises(InputError, match=r"0\.01"):
        inputs(2, largest=0.0)
    with pytest.raises(InputError, match="at least one of each"):
        find(chains(max_layers=0), lambda a: True)


@pytest.mark.parametrize(("largest", "reached"), [
    (0.015, 0.01), (2.999, 2.99), (0.29, 0.29), (3.0, 3.0)])
def test_no_entry_is_above_the_largest(largest: float, reached: float) -> None:
    entries = inputs(1, largest=largest)
    with pytest.raises(NoSuchExample):
        find(entries, lambda v: abs(v[0]) > reached)
    assert find(entries, lambda v: v[0] >= reached)[0] == reached <= largest


@pytest.mark.parametrize("largest", [float("nan"), float("inf"), 0.0])
def test_the_largest_is_a_number(largest: float) -> None:
    with pytest.raises(InputError, match="largest"):
        inputs(1, largest=largest)


def test_without_hypothesis_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name.partition(".")[0] == "hypothesis":
            raise ModuleNotFoundError("No module named 'hypothesis'", name="hypothesis")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    for name in [n for n in sys.modules if n.startswith("neurosparse.testing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match="pip install hypothesis"):
        importlib.import_module("neurosparse.testing")
