"""Rates of attention and feed-forward maps by rule ``propagation``: no configuration is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from neurosparse.budgets import Budget, ModelIdentity, allocate
from neurosparse.budgets.structures import structure_budget
from neurosparse.measure.profile import sizes_only
from neurosparse.measure.structure_gains import site_damages
from neurosparse.models import identity
from neurosparse.progress import Progress, silent
from neurosparse.pruning.structured import Group, make_plan
from neurosparse.pruning.structured.ladder import Ladder, make_ladders

POINT = 0.28
"""Uniform rate at which the network is linearised, whatever is asked: every site then makes an
error to go by, and the gradient is not yet that of a broken network (docs/structured.md)."""


def structure_rates(model: nn.Module, tokens: Tensor, groups: Sequence[Group], rate: float, *,
                    method: str = "flap", ladders: Mapping[str, Ladder] | None = None,
                    windows: int = 16, batch_size: int = 8, dtype: torch.dtype | None = None,
                    progress: Progress = silent) -> Budget:
    """What every attention and feed-forward map gives, from its measured damage.

    Error curves of all sites come from one walk over the dense model, gains from one backward pass
    at uniform rates of 0.28; the exact allocator divides. No configuration is evaluated, and one
    measurement serves all rates. The curves are those of a cut that is solved again
    (``compensate="least_squares"``).

    Parameters
    ----------
    model
        In memory, in blocks without fused experts.
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    groups
        From ``find_groups``, as they will be cut.
    rate
        Share of the parameters of the blocks' linear maps that goes, in [0, 1).
    method
        Metric by which units will be chosen.
    ladders
        From ``make_ladders``, where they are there already.
    windows
        How many of the calibration windows the backward pass takes, from the first on.
    batch_size, dtype
        As for ``prune_structured``.

    Returns
    -------
    Budget
        One rate a site, for ``prune_structured`` and as the start of a search.

    Raises
    ------
    ModelError
        A site of fused experts.
    BudgetError
        A rate that cannot be.

    Examples
    --------
    >>> import torch, transformers
    >>> from neurosparse.pruning.structured import find_groups
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    ...     num_attention_heads=4, num_key_value_heads=2)
    >>> model = transformers.LlamaForCausalLM(config).eval()
    >>> tokens = torch.randint(64, (4, 16))
    >>> budget = structure_rates(model, tokens, find_groups(model, heads="queries"), 0.3)
    >>> [target.name for target in budget.targets][:2]
    ['model.layers.0.self_attn', 'model.layers.0.mlp']
    """
    if ladders is None:
        _, ladders = make_ladders(model, tokens, groups, method=method, batch_size=batch_size,
                                  dtype=dtype, progress=progress)
    even = allocate(sizes_only(model), POINT, rule="uniform")
    point = make_plan(model, even, groups).dropped
    sites, nats = site_damages(model, tokens[:windows], ladders, point, dtype=dtype,
                               progress=progress)
    found = structure_budget(sites, rate, model=ModelIdentity(**identity(model)))
    found.rule.notes.update(linearised_at=POINT, damage_there=nats)
    return found
