"""Arguments that do not fit: one clear error at every level, never a read past an end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_cases import make_case

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.tiles import Tiles

pytestmark = pytest.mark.usefixtures("level")

CASE = make_case("bf16", 6, 100, 0.5, 9)


def arguments() -> dict[str, Any]:
    values, bitmap, offsets = CASE.packed()
    x = np.ones((2, 100), np.float32)
    return {"values": values, "kind": "bf16", "bitmap": bitmap, "offsets": offsets,
            "scales": None, "cols": 100, "x": x}  # fmt: skip


def multiply(call: dict[str, Any]) -> None:
    product = {name: call.pop(name) for name in ("x", "out") if name in call}
    Tiles.from_rows(**call).matvec(**product)


def shifted(offsets: Any) -> Any:
    other = offsets.copy()
    other[2] += 1
    return other


BAD = {
    "kind 'bf8'": lambda a: a.update(kind="bf8"),
    "fp32 values": lambda a: a.update(kind="fp32"),
    "bf16 values float32": lambda a: a.update(values=a["values"].astype(np.float32)),
    "with the padding": lambda a: a.update(values=a["values"][: int(a["offsets"][-1]) + 8].copy()),
    "offsets of another bitmap": lambda a: a.update(offsets=shifted(a["offsets"])),
    "offsets int32": lambda a: a.update(offsets=a["offsets"].astype(np.int32)),
    "offsets of shape": lambda a: a.update(offsets=a["offsets"][:-1].copy()),
    "bitmap of shape": lambda a: a.update(bitmap=a["bitmap"][:, :8].copy()),
    "bitmap int8": lambda a: a.update(bitmap=a["bitmap"].view(np.int8)),
    "x float64": lambda a: a.update(x=a["x"].astype(np.float64)),
    "x float32.100.": lambda a: a.update(x=a["x"][0]),
    "contiguous": lambda a: a.update(x=np.ones((2, 200), np.float32)[:, ::2]),
    "scales of shape": lambda a: a.update(scales=np.ones(5, np.float32)),
    "out of shape": lambda a: a.update(out=np.zeros((6, 2), np.float32)),
}


@pytest.mark.parametrize("what", BAD)
def test_product_names_what_is_wrong(what: str) -> None:
    call = arguments()
    BAD[what](call)
    with pytest.raises(InputError, match=what):
        multiply(call)


def test_bits_beyond_the_last_column_are_refused() -> None:
    call = arguments()
    call["bitmap"][0, 13] = 0x80
    with pytest.raises(InputError, match="beyond the last column"):
        kernels.pack_values(CASE.raw, call["bitmap"])


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (3, 2), (0, 7)])
def test_rows_outside_the_matrix_are_refused(first: int, last: int) -> None:
    values, bitmap, offsets = CASE.packed()
    with pytest.raises(InputError, match="expand"):
        kernels.expand(values, bitmap, offsets, 100, first, last)
    with pytest.raises(InputError, match="expand"):
        kernels.expand_float(values, "bf16", bitmap, offsets, None, 100, first, last)


def test_a_bitmap_of_half_words_is_refused() -> None:
    with pytest.raises(InputError, match="12 bytes"):
        kernels.row_offsets(np.zeros((2, 12), np.uint8))


def test_a_mask_that_is_not_one_is_refused() -> None:
    with pytest.raises(InputError, match="float32"):
        kernels.pack_mask(np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match="contiguous"):
        kernels.pack_mask(np.ones((3, 2), np.bool_).T)
