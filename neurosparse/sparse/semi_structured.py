"""2:4: a dense linear whose weight has the pattern, as torch's semi-structured tensor on a GPU.

The tensor cores of a card skip what is zero in 2:4, so this pays where products are bound by
arithmetic: on an H100 from some hundred or thousand rows of x on, up to 1.4 times dense
(docs/gpu.md). For few rows it saves memory, 9/16 of dense bf16, and takes twice as long.
"""

from __future__ import annotations

import torch
from torch import nn

from neurosparse.errors import InputError

# What torch's tensors of 16-bit weights take, whichever library multiplies them.
_ROWS, _COLS = 32, 64
_LEAST_CARD = (8, 0)  # Ampere: the first with sparse tensor cores
_WHAT = "make a linear semi-structured"


def is_two_to_four(weight: torch.Tensor) -> bool:
    """Whether every four neighbours of a row hold at least two zeros.

    Parameters
    ----------
    weight : tensor of shape (rows, cols)
        Any dtype, any device. A matrix whose columns are no multiple of four has no such pattern.
    """
    if weight.ndim != 2 or weight.shape[1] % 4:
        return False
    kept = (weight != 0).reshape(weight.shape[0], -1, 4).sum(-1)
    return bool((kept <= 2).all())


def to_semi_structured(linear: nn.Linear) -> nn.Linear:
    """Replace a linear's weight by torch's semi-structured tensor of the same numbers.

    The weight no longer learns, and its state dict is torch's own: save before, not after.

    Parameters
    ----------
    linear
        On a GPU, weight (out, in) bfloat16 or float16, 2:4 along the inputs (``prune`` with
        ``pattern="2:4"``). Changed in place.

    Returns
    -------
    nn.Linear
        The same module.

    Raises
    ------
    InputError
        The weight is not 2:4, of another dtype, of a shape that torch does not take (multiples of
        32 and 64), or not on a card with sparse tensor cores. The module is then as it was.
    """
    weight = linear.weight
    shape = f"a weight of shape {tuple(weight.shape)}"
    if weight.ndim != 2 or weight.shape[0] % _ROWS or weight.shape[1] % _COLS:
        raise InputError(_WHAT, found=shape, expected=f"multiples of ({_ROWS}, {_COLS})",
                         mend="Leave this linear dense.")
    if weight.dtype not in (torch.bfloat16, torch.float16):
        raise InputError(_WHAT, found=f"{weight.dtype}", expected="bfloat16 or float16")
    if not is_two_to_four(weight.detach()):
        raise InputError(_WHAT, found=f"{shape} with more than two of four neighbours kept",
                         expected="2:4 along every row", mend='Prune with pattern="2:4".')
    if weight.device.type != "cuda":
        raise InputError(_WHAT, found=f"a weight on {weight.device}", expected="a GPU",
                         mend="On the CPU a packed SparseLinear is what pays.")
    card = torch.cuda.get_device_capability(weight.device)
    if card < _LEAST_CARD:
        raise InputError(_WHAT, found=f"a card of capability {card}", expected="8.0 or later")
    made = torch.sparse.to_sparse_semi_structured(weight.detach().contiguous())
    linear.weight = nn.Parameter(made, requires_grad=False)
    return linear
