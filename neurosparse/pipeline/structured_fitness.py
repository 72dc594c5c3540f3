"""What a search minimises: damage on the selection text of a model that is masked, not cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from neurosparse.adaptation import kl_to_dense, next_token_loss
from neurosparse.budgets import Budget
from neurosparse.models import multiplying
from neurosparse.models.placement import device_of
from neurosparse.pruning.structured import Group, Ladder, choose, make_plan, masked, solved

MEASURES = ("perplexity", "kl")


class StructuredFitness:
    """Damage of a budget, nats a token: negative log-likelihood, or divergence from dense.

    Scores are those of the dense model, so that an evaluation is one forward pass of the windows
    under masks; the model is not copied and is as it was afterwards.

    Parameters
    ----------
    model, groups, scores
        In memory; ``find_groups`` and ``structured_scores`` of it.
    tokens : int64 tensor of shape (windows, length)
        Selection windows.
    measure
        ``"perplexity"`` (its logarithm) or ``"kl"``, for which the dense model's logits are kept.
    ladders
        From ``make_ladders``: the output weights are solved again, as the cut will do it; one
        product of a matrix a site more. Without them masks alone.
    dtype
        Of the products; the model's own by default.
    """

    def __init__(self, model: nn.Module, groups: Sequence[Group], scores: dict[str, Tensor],
                 tokens: Tensor, measure: str = "perplexity", *,
                 ladders: Mapping[str, Ladder] | None = None,
                 dtype: torch.dtype | None = None) -> None:
        self.model, self.groups, self.scores = model, list(groups), scores
        self.tokens, self.measure, self.ladders, self.dtype = tokens, measure, ladders, dtype
        self._dense: list[Tensor] = []
        if measure == "kl":
            with torch.inference_mode():
                self._dense = [self._logits(window) for window in tokens]

    def __call__(self, budget: Budget | Sequence[Budget], fidelity: int | None = None) -> float:
        """Nats a token over the first ``fidelity`` windows, or all."""
        plan = make_plan(self.model, budget, self.groups)
        count = len(self.tokens) if fidelity is None else min(fidelity, len(self.tokens))
        cut: AbstractContextManager[None]
        if self.ladders is None:
            cut = masked(self.model, self.groups, choose(self.groups, self.scores, plan))
        else:
            cut = solved(self.model, self.ladders, plan.dropped)
        with torch.inference_mode(), cut:
            found = [self._of(number) for number in range(count)]
        return sum(found) / count

    def _logits(self, window: Tensor) -> Tensor:
        there = window[None].to(device_of(self.model))
        with multiplying(self.model, self.dtype):
            out: Tensor = self.model(input_ids=there, use_cache=False).logits
        return out.float()

    def _of(self, number: int) -> float:
        window, logits = self.tokens[number : number + 1], self._logits(self.tokens[number])
        if self.measure == "perplexity":
            return float(next_token_loss(logits, window.to(logits.device)))
        return float(kl_to_dense(logits, self._dense[number]))
