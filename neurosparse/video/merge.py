"""Token merging, written from the ToMe paper, with sizes carried over rounds."""

from __future__ import annotations

import torch
from torch import Tensor

from neurosparse.errors import InputError


def merge_tokens(
    tokens: Tensor, count: int, sizes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Merge the most similar tokens until ``count`` are left (bipartite soft matching).

    A round splits the tokens alternately into two sets, links each token of the first to the
    most similar of the second (cosine), and merges along the strongest links, at most half the
    tokens a round. A merged token is the mean of all original tokens in it: means are weighted
    by sizes, and sizes go on to the next round. Tokens stay in the order of the tokens that
    they were merged into.

    Parameters
    ----------
    tokens
        Shape (batch, tokens, width).
    count
        Tokens to leave, from 1 to those there are.
    sizes
        Original tokens in each, shape (batch, tokens); ones where None.

    Returns
    -------
    tokens : shape (batch, count, width)
    sizes : shape (batch, count)
        With the sum that they had.

    Raises
    ------
    InputError
        A count out of range, or shapes that do not fit.

    References
    ----------
    Token Merging, arXiv 2210.09461, section 3 (the similarity here is of the tokens themselves:
    a projector's output has no keys).
    """
    if tokens.ndim != 3 or not 1 <= count <= tokens.shape[1]:
        raise InputError("merge tokens", found=f"{tuple(tokens.shape)} to {count}",
                         expected="(batch, tokens, width), and a count from 1 to the tokens")
    if sizes is None:
        sizes = tokens.new_ones(tokens.shape[:2])
    if sizes.shape != tokens.shape[:2]:
        raise InputError("merge tokens", found=f"sizes of shape {tuple(sizes.shape)}",
                         expected=f"{tuple(tokens.shape[:2])}")
    while tokens.shape[1] > count:
        fewer = min(tokens.shape[1] - count, tokens.shape[1] // 2)
        tokens, sizes = _round(tokens, sizes, fewer)
    return tokens, sizes


def _round(tokens: Tensor, sizes: Tensor, fewer: int) -> tuple[Tensor, Tensor]:
    """One round that merges ``fewer`` tokens of the odd places into tokens of the even places."""
    batch, length, width = tokens.shape
    unit = torch.nn.functional.normalize(tokens.float(), dim=-1)
    similarity = unit[:, 1::2] @ unit[:, 0::2].transpose(1, 2)
    strength, partner = similarity.max(dim=-1)
    # A stable sort, so that ties are broken in one way on every machine.
    chosen = torch.argsort(strength, dim=-1, descending=True, stable=True)[:, :fewer]
    source = 2 * chosen + 1
    target = 2 * partner.gather(1, chosen)
    mass = tokens * sizes[..., None]
    moved = mass.gather(1, source[..., None].expand(-1, -1, width))
    mass = mass.scatter_add(1, target[..., None].expand(-1, -1, width), moved)
    sizes = sizes.scatter_add(1, target, sizes.gather(1, source))
    stays = torch.ones(batch, length, dtype=torch.bool, device=tokens.device)
    stays.scatter_(1, source, False)
    left = sizes[stays].view(batch, length - fewer)
    merged = mass[stays].view(batch, length - fewer, width) / left[..., None]
    return merged, left


def merge_rows_and_columns(grid: Tensor, height: int, width: int) -> Tensor:
    """Merge whole columns until ``width`` are left, then whole rows until ``height`` are.

    A column is one token of :func:`merge_tokens`, made of all its pixels, so that what is left
    is a rectangle whose rows and columns still line up. (The official code merges each row for
    itself, after which columns no longer do.)

    Parameters
    ----------
    grid
        Shape (batch, rows, columns, features).
    height, width
        Of the result.

    Returns
    -------
    Tensor of shape (batch, height, width, features)

    Raises
    ------
    InputError
        As for :func:`merge_tokens`.

    References
    ----------
    QuoTA (arXiv 2503.08689), version 5 of its token compression.
    """
    batch, rows, columns, features = grid.shape
    upright = grid.transpose(1, 2).reshape(batch, columns, rows * features)
    upright, _ = merge_tokens(upright, width)
    flat = upright.view(batch, width, rows, features).transpose(1, 2)
    merged, _ = merge_tokens(flat.reshape(batch, rows, width * features), height)
    return merged.view(batch, height, width, features)
