"""Let packed values learn."""

from __future__ import annotations

from torch import nn

from neurosparse.errors import ModelError
from neurosparse.sparse.rows import PackedRows


def train_values(model: nn.Module) -> list[nn.Parameter]:
    """Make the values of all packed matrices parameters, for any optimiser.

    Only entries that are stored have a gradient, so the model stays as sparse as it is; ``save``
    stores what was learnt. Memory of a backward pass: a tile of rows besides the gradients.

    Parameters
    ----------
    model
        With packed linears or experts, from ``load``.

    Returns
    -------
    list of parameters
        One a matrix, one dimension each.

    Raises
    ------
    ModelError
        Nothing is packed.
    InputError
        int8 values.
    """
    modules = [module for module in model.modules() if isinstance(module, PackedRows)]
    if not modules:
        raise ModelError("train packed values", found="a model without packed matrices",
                         expected="one that sparse.load returned")
    return [module.learn() for module in modules]
