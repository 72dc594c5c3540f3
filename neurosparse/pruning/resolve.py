"""From a budget's names and rates to whole numbers for a model's linears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurosparse.budgets import Budget, exact_counts
from neurosparse.errors import BudgetError
from neurosparse.models import Blocks, Target


def drop_counts(budget: Budget, targets: Sequence[Target], blocks: Blocks) -> dict[str, int]:
    """Entries to drop in every linear that a budget names.

    A budget's target is a linear (``model.layers.0.mlp.up_proj``, ``...experts.down_proj#3``), a
    whole block (``model.layers.0``), or ``block.0``, the first block of any model; a block's rate
    goes to all its linears. The counts add up to the budget's share of all their parameters,
    rounded to a whole number.

    Returns
    -------
    counts : dict from the name of a linear to a whole number

    Raises
    ------
    BudgetError
        The budget is of another kind, names what the model does not have, names a linear twice,
        or has another size for it.
    """
    if budget.kind != "sparsity":
        raise BudgetError("prune", found=f"a budget of kind {budget.kind!r}",
                          expected="kind 'sparsity'")
    by_name = {target.name: target for target in targets}
    rates: dict[str, float] = {}
    for item in budget.targets:
        for name in _linears_of(item.name, by_name, targets, blocks):
            if name in rates:
                raise BudgetError("prune", found=f"{name} twice in the budget", expected="once")
            rates[name] = item.value
        exact = by_name.get(item.name)
        if exact is not None and exact.size != item.size:
            raise BudgetError("prune", found=f"{item.name} with {item.size} parameters",
                              expected=f"{exact.size}, as in the model")
    names = [target.name for target in targets if target.name in rates]
    sizes = np.array([by_name[name].size for name in names], np.int64)
    shares = np.array([rates[name] for name in names])
    total = round(float(shares @ sizes))
    counts = exact_counts(shares, sizes, total)
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def _linears_of(
    name: str, by_name: dict[str, Target], targets: Sequence[Target], blocks: Blocks
) -> list[str]:
    if name in by_name:
        return [name]
    block = None
    if name in blocks.names:
        block = blocks.names.index(name)
    elif name.startswith("block.") and name[6:].isdigit() and int(name[6:]) < len(blocks):
        block = int(name[6:])
    if block is None:
        raise BudgetError("prune", found=f"target {name!r} in the budget",
                          expected="a linear or a block of the model",
                          mend="The budget was made for another model, or the linear is excluded.")
    return [target.name for target in targets if target.block == block]
