"""Resizers: identity, constants, means, mass, and ragged batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from neurosparse.errors import InputError
from neurosparse.video import (
    RESIZERS,
    merge_rows_and_columns,
    merge_tokens,
    resize_tokens,
)

RECTANGLES = ["bilinear", "average", "rows-columns"]
COUNTS = ["strided", "merge"]


def features(frames=3, rows=6, columns=5, width=4, seed=0):
    return torch.randn(frames, rows, columns, width, dtype=torch.float64,
                       generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("method", RESIZERS)
def test_the_full_size_is_the_identity_bit_for_bit(method):
    x = features().float()
    sizes = [(6, 5)] * 3 if method in RECTANGLES else [30] * 3
    for one, frame in zip(resize_tokens(x, sizes, method=method), x, strict=True):
        assert torch.equal(one.reshape(-1, 4), frame.reshape(-1, 4))


@pytest.mark.parametrize("method", RESIZERS)
@given(data=st.data())
def test_a_ragged_batch_is_its_frames_one_by_one(method, data):
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1,
                                max_size=5))
    frames = [features(1, *shape, seed=i)[0] for i, shape in enumerate(shapes)]
    sizes = [data.draw(st.tuples(st.integers(1, h), st.integers(1, w))) for h, w in shapes]
    if method in COUNTS:
        sizes = [h * w for h, w in sizes]
    whole = resize_tokens(frames, sizes, method=method)
    for frame, size, got in zip(frames, sizes, whole, strict=True):
        alone = resize_tokens([frame], [size], method=method)[0]
        torch.testing.assert_close(got, alone, rtol=1e-12, atol=1e-12)
        assert tuple(got.shape[:-1]) == (size if method in RECTANGLES else (size,))


@pytest.mark.parametrize("method", RESIZERS)
@given(high=st.integers(1, 6), wide=st.integers(1, 5))
def test_constants_stay_constant(method, high, wide):
    x = torch.full((1, 6, 5, 3), 2.5, dtype=torch.float64)
    size = (high, wide) if method in RECTANGLES else high * wide
    out = resize_tokens(x, [size], method=method)[0]
    torch.testing.assert_close(out, torch.full_like(out, 2.5), rtol=1e-12, atol=1e-12)


def test_bilinear_keeps_a_ramp_linear_inside():
    ramp = torch.arange(12.0, dtype=torch.float64).view(1, 1, 12, 1).expand(1, 12, 12, 1)
    out = resize_tokens(ramp, [(5, 7)])[0][2, :, 0]
    want = (torch.arange(7, dtype=torch.float64) + 0.5) * 12 / 7 - 0.5
    torch.testing.assert_close(out[1:-1], want[1:-1])


def test_average_keeps_the_mean_where_sizes_divide():
    x = features(2, 6, 6)
    for out, frame in zip(resize_tokens(x, [(3, 2), (2, 6)], method="average"), x, strict=True):
        torch.testing.assert_close(out.mean((0, 1)), frame.mean((0, 1)))


def test_bilinear_to_the_papers_default_is_the_models_pooling():
    x = features(2, 27, 27, 3).float()
    want = functional.interpolate(x.permute(0, 3, 1, 2).contiguous(), size=[14, 14],
                                  mode="bilinear").permute(0, 2, 3, 1)
    assert torch.equal(torch.stack(resize_tokens(x, [(14, 14)] * 2)), want)


@given(st.integers(1, 12), st.integers(1, 12))
def test_strided_takes_tokens_in_order_and_none_twice(have, count):
    x = torch.arange(float(have)).view(1, 1, have, 1)
    if count > have:
        with pytest.raises(InputError, match="no more than there are"):
            resize_tokens(x, [count], method="strided")
        return
    out = resize_tokens(x, [count], method="strided")[0][:, 0].numpy()
    assert np.all(np.diff(out) > 0) and len(out) == count


@given(st.integers(1, 20), st.data())
def test_merging_conserves_mass(length, data):
    count = data.draw(st.integers(1, length))
    x = features(2, length, 1)[:, :, 0]
    out, sizes = merge_tokens(x, count)
    assert out.shape == (2, count, 4) and sizes.shape == (2, count)
    assert sizes.sum(1).tolist() == [length] * 2 and sizes.min() >= 1
    torch.testing.assert_close((out * sizes[..., None]).sum(1), x.sum(1))


def test_merging_in_two_calls_with_sizes_is_one_mean():
    """Without sizes the second call makes a mean of means, as the official code does."""
    x = features(1, 9, 1, seed=4)[:, :, 0]
    half, sizes = merge_tokens(x, 5)
    out, total = merge_tokens(half, 1, sizes)
    torch.testing.assert_close(out[0, 0], x.mean(1)[0])
    assert total.tolist() == [[9.0]]
    wrong, _ = merge_tokens(half, 1)
    assert (wrong - out).abs().max() > 1e-3


def test_merging_joins_equal_tokens_first_and_keeps_the_order():
    a, b, c = torch.eye(3, dtype=torch.float64)
    x = torch.stack([a, a, b, b, c, c]).unsqueeze(0)
    out, sizes = merge_tokens(x, 3)
    torch.testing.assert_close(out[0], torch.stack([a, b, c]))
    assert sizes.tolist() == [[2.0, 2.0, 2.0]]


def test_one_round_is_the_papers_by_hand():
    """Odd places look for the most similar even place; the strongest link is merged."""
    x = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.2]]], dtype=torch.float64)
    out, sizes = merge_tokens(x, 3)
    torch.testing.assert_close(out[0, 0], torch.tensor([0.95, 0.05], dtype=torch.float64))
    torch.testing.assert_close(out[0, 1:], x[0, 2:])
    assert sizes.tolist() == [[2.0, 1.0, 1.0]]


def test_rows_and_columns_stay_in_line():
    """Equal neighbours are merged whole: the picture is made smaller without a seam."""
    small = features(1, 3, 2, 4, seed=2)
    big = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(merge_rows_and_columns(big, 3, 2), small)


def test_wrong_sizes_are_refused():
    x = features(2)
    with pytest.raises(InputError, match="method='nearest'"):
        resize_tokens(x, [(1, 1)] * 2, method="nearest")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 frames and 1 sizes"):
        resize_tokens(x, [(1, 1)])
    with pytest.raises(InputError, match="a number of tokens"):
        resize_tokens(x, [(1, 1)] * 2, method="merge")
    with pytest.raises(InputError, match="a grid"):
        resize_tokens(x, [3, 3])
    with pytest.raises(InputError, match="no more than there are"):
        resize_tokens(x, [(7, 5), (1, 1)])
    with pytest.raises(InputError, match="merge tokens"):
        merge_tokens(x[0], 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("method", RESIZERS)
def test_on_a_gpu(method):
    x = features().float()
    sizes = [(3, 2), (6, 5), (3, 2)] if method in RECTANGLES else [7, 30, 7]
    for got, want in zip(resize_tokens(x.cuda(), sizes, method=method),
                         resize_tokens(x, sizes, method=method), strict=True):
        torch.testing.assert_close(got.cpu(), want, rtol=1e-4, atol=1e-4)
