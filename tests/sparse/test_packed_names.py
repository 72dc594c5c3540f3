"""Lists of names in short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neurosparse.sparse.names import lengthen, shorten

names = st.builds("{}.{}.{}".format, st.sampled_from(["model.layers", "h"]), st.integers(0, 20),
                  st.sampled_from(["up", "mlp.experts.7.down"]))


@given(st.lists(st.one_of(names, st.sampled_from(["head", "x.y"])), unique=True))
def test_names_come_back(given_names: list[str]) -> None:
    assert sorted(lengthen(shorten(given_names))) == sorted(given_names)


def test_a_whole_model_takes_one_entry_a_role() -> None:
    blocks = [f"model.layers.{i}.mlp.{role}" for i in range(30) for role in ("up", "down")]
    assert shorten(blocks) == ["model.layers.[0-29].mlp.down", "model.layers.[0-29].mlp.up"]
    assert shorten(blocks[:1]) == blocks[:1]
