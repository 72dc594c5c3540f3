"""Scales of groups of columns, int8 and int4: products, parts, files, rounding by inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sparse_cases import build, parts_error, relative_error, sparse_matrix

from neurosparse import kernels, models
from neurosparse.errors import InputError
from neurosparse.pipeline import convert_values
from neurosparse.pruning import round_model
from neurosparse.sparse import SparseLinear, load, pack, save, unpack
from neurosparse.sparse.arithmetic import Rows, multiply, tile

FORMS = [("int8", 32), ("int4", 32), ("int4", 64), ("int4", 256)]


def _without_views(rows: Rows) -> Rows:
    """Rows as they are on a device without kernels."""
    return Rows(rows.bitmap, rows.values, rows.scales, rows.offsets, rows.cols, rows.kind, None)


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("values", "group"), FORMS)
def test_products_of_few_and_many_rows(values: str, group: int, dtype: torch.dtype) -> None:
    weight = sparse_matrix(75, 333, seed=3)
    layer = SparseLinear(pack(weight, values=values, group_size=group))
    dense = layer.to_dense().double()
    for count in (1, 2, 3, 4, 8, 9, 16, 17, 40):
        x = torch.randn(count, 333, generator=torch.Generator().manual_seed(count)).to(dtype)
        want = x.double() @ dense.T
        limit = parts_error(values) if dtype == torch.float32 else 2**-8
        assert relative_error(layer(x).double(), want) < limit


@pytest.mark.parametrize(("values", "group"), FORMS)
def test_rows_in_parts_begin_anywhere(values: str, group: int) -> None:
    """Values of a part begin in the lower or the upper half of a byte."""
    weight = sparse_matrix(40, 101, seed=5)
    rows = SparseLinear(pack(weight, values=values, group_size=group)).views()
    dense, x = unpack_rows(rows), torch.linspace(-1, 1, 303).view(3, 101)
    starts = {int(rows.offsets[first]) % 2 for first in range(1, 36, 3)}
    assert starts == {0, 1}
    for first in range(1, 36, 3):
        for last in (first + 1, first + 5):
            assert torch.equal(tile(rows, first, last, torch.float32), dense[first:last])
            found = multiply(x, rows, first, last)
            assert relative_error(found, x @ dense[first:last].T) < 1e-4


def unpack_rows(rows: Rows) -> torch.Tensor:
    return tile(rows, 0, rows.bitmap.shape[0], torch.float32)


@pytest.mark.parametrize(("values", "group"), FORMS)
def test_torch_alone_expands_the_same(values: str, group: int) -> None:
    packed = pack(sparse_matrix(9, 130), values=values, group_size=group)
    rows = _without_views(SparseLinear(packed).views())
    for first, last in ((0, 9), (3, 8)):
        assert torch.equal(tile(rows, first, last, torch.float32), unpack(packed)[first:last])


@pytest.mark.parametrize(("values", "group"), FORMS)
def test_the_input_has_a_gradient_and_the_values_do_not_learn(values: str, group: int) -> None:
    layer = SparseLinear(pack(sparse_matrix(20, 70), values=values, group_size=group))
    x = torch.randn(5, 70, requires_grad=True)
    layer(x).square().sum().backward()  # type: ignore[no-untyped-call]
    dense = layer.to_dense()
    want = 2 * (x.detach() @ dense.T) @ dense
    assert x.grad is not None and relative_error(x.grad, want) < 1e-4
    with pytest.raises(InputError, match=values):
        layer.learn()
    assert f"group={kernels.group_of(70, -(-70 // group))}" in repr(layer)


@pytest.mark.parametrize("family", ["llama", "mixtral"])
@pytest.mark.parametrize(("values", "group"), FORMS)
def test_saved_loaded_and_saved_again(values: str, group: int, family: str, tmp_path: Path) -> None:
    model = build(family)
    tokens = torch.arange(12)[None]
    save(model, tmp_path / "one", values=values, group_size=group)
    again = load(tmp_path / "one")
    want = again(tokens).logits
    save(again, tmp_path / "two", values=values)  # keeps its groups
    again.save_pretrained(tmp_path / "three")
    for name in ("two", "three"):
        assert torch.equal(load(tmp_path / name)(tokens).logits, want)
        config = json.loads((tmp_path / name / "config.json").read_text())["quantization_config"]
        assert (config["version"], config["group"]) == (2, group)
    if group != 256:  # of 48 and 72 columns groups of 64 differ from those of 32 alone
        other = 64 if group == 32 else 32
        with pytest.raises(InputError, match="groups of"):
            save(again, tmp_path / "four", values=values, group_size=other)


def test_other_kinds_become_int4_with_the_same_bits(tmp_path: Path) -> None:
    save(build("llama"), tmp_path / "bf16")
    model = load(tmp_path / "bf16")
    name = models.find_targets(build("llama"))[0].name
    bits = model.get_submodule(name).bitmap.clone()
    dense = model.get_submodule(name).to_dense()
    convert_values(model, "int4", group_size=32)
    now = model.get_submodule(name).packed()
    assert torch.equal(now.bitmap, bits) and now.group == 32 and now.kind.name == "int4"
    assert torch.equal(unpack(now), unpack(pack(dense, values="int4", group_size=32)))
    convert_values(model, "int4", group_size=64)
    assert model.get_submodule(name).packed().group == 64


@pytest.mark.parametrize(("values", "group"), FORMS)
def test_what_is_rounded_by_its_inputs_is_stored_entry_for_entry(values: str, group: int,
                                                                 tmp_path: Path) -> None:
    model, masks = build("llama"), {}
    targets = models.find_targets(model)
    for target in targets:
        masks[target.name] = models.get_weight(model, target) != 0
    tokens = torch.randint(0, 100, (4, 32), generator=torch.Generator().manual_seed(1))
    # A group as wide as the row has the scale of a row, with 8 bits.
    round_model(model, tokens, bits=4 if values == "int4" else 8, group=group, masks=masks)
    save(model, tmp_path / "m", values=values, group_size=group)
    again = load(tmp_path / "m")
    for target in targets:
        found, want = again.get_submodule(target.name).to_dense(), models.get_weight(model, target)
        assert torch.equal(found, want)
        assert not found[~masks[target.name]].any()
