"""How much each linear gives at a step, and which rank each block gets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurosparse.adaptation.options import LosaOptions
from neurosparse.budgets import Budget, Profile, allocate
from neurosparse.budgets.ranks import ranks_by_error
from neurosparse.measure import profile, sizes_only
from neurosparse.measure.rule_evidence import evidence_of
from neurosparse.models import Target
from neurosparse.progress import Progress, silent
from neurosparse.pruning import compensates
from neurosparse.pruning.pattern import Pattern

Floats = NDArray[np.float64]


class Rates:
    """Budgets of the steps of one run, each nested in the next.

    Parameters
    ----------
    options
        Of the run.
    dtype
        Of the calibration's matrix products.
    given
        A profile of the model as it came, in place of measuring one.
    """

    def __init__(self, options: LosaOptions, dtype: torch.dtype | None = None,
                 progress: Progress = silent, given: Profile | None = None) -> None:
        self.options, self.dtype, self.progress = options, dtype, progress
        self.profile = given
        self._anew = options.rule == "representation"

    def at(self, model: nn.Module, tokens: Tensor, sparsity: float, gone: dict[str, float],
           last: bool) -> Budget:
        """The budget of a step.

        Parameters
        ----------
        model
            As it is now, plain.
        sparsity
            Of this step.
        gone
            Rate of each target now, below which none may fall; empty where masks may regrow.
        last
            Whether it is the last step, whose pattern is the one that was asked for.
        """
        options = self.options
        if self.profile is None or self._anew:
            self.profile = self._measure(model, tokens)
        multiple = None
        if options.pattern is not None:
            pattern = Pattern.read(options.pattern)
            multiple = pattern.group
            if last and pattern.sparsity is not None:  # a fixed N:M leaves nothing to decide
                return allocate(self.profile, pattern.sparsity, rule="uniform", multiple=multiple)
        # Names are taken as patterns, whose brackets would be read as sets.
        chosen = dict(options.rule_options)
        if options.rule == "propagation":
            chosen.setdefault("compensated", compensates(options.method, options.refit))
        lower = {name.replace("[", "[[]"): rate for name, rate in gone.items()}
        return allocate(self.profile, sparsity, rule=options.rule, lower=lower or 0.0,
                        multiple=multiple, **chosen)

    def _measure(self, model: nn.Module, tokens: Tensor) -> Profile:
        options = self.options
        assert options.sparsity is not None, "a run without a sparsity asks for no rates"
        wanted = evidence_of(options.rule, options.sparsity, options.rule_options)
        if not wanted:
            return sizes_only(model)
        return profile(model, tokens, evidence=wanted, method="wanda", dtype=self.dtype,
                       batch_size=options.batch_size, progress=self.progress)

    def block_damage(self) -> Floats:
        """Nats that restoring each block's weights would undo, to first order.

        From the last point of the path: the marginal damage of all weights below the rate there.
        """
        assert self.profile is not None
        found = self.profile.evidence["propagation"]
        density, rates = found["density"][-1], found["rates"][-1]
        bins = density.shape[1]
        below = (np.arange(bins) + 0.5) / bins < rates[:, None]
        by_linear = np.maximum((density * below).sum(1) / bins, 0.0)
        return np.asarray(np.bincount(self.profile.block, by_linear), float)


def ranks_of(targets: Sequence[Target], errors: Floats, mean: int, options: LosaOptions
             ) -> dict[str, int]:
    """Rank of every linear: one a block, by the block's error or damage.

    Parameters
    ----------
    errors : array of shape (blocks,)
    mean
        Mean rank of this step.
    """
    blocks = np.unique([target.block for target in targets])
    if options.ranks == "equal":
        chosen = np.full(len(blocks), mean, np.int64)
    else:
        chosen = ranks_by_error(errors[blocks], mean, upper=options.most)
    by_block = dict(zip(blocks.tolist(), chosen.tolist(), strict=True))
    return {target.name: min(by_block[target.block], *target.shape) for target in targets}
