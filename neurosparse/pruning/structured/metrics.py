"""The form that a structured metric fills, and the metrics by name.

A new metric is a new small file with a class of this form and one line in ``METRICS``.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from neurosparse.errors import InputError
from neurosparse.pruning.statistics import InputStatistics
from neurosparse.pruning.structured.flap import Flap
from neurosparse.pruning.structured.wanda_sp import WandaSP


class ColumnMetric(Protocol):
    """A metric that looks at the output matrix of a site and at the inputs it gets."""

    name: str

    def columns(self, weight: Tensor, inputs: InputStatistics) -> Tensor:
        """Importance of every input feature, float64 tensor of shape (in,).

        Parameters
        ----------
        weight : tensor of shape (out, in)
            ``o_proj`` or ``down_proj``.
        inputs
            What was seen of its inputs.
        """
        ...


COLUMN_METRICS: dict[str, ColumnMetric] = {metric.name: metric for metric in (WandaSP(), Flap())}
METRICS = (*COLUMN_METRICS, "magnitude", "taylor", "fisher")
"""Names of all metrics: by columns, by weights alone, by one backward pass."""


def check_metric(name: str) -> str:
    """Return the name, if there is a metric of that name.

    Raises
    ------
    InputError
        There is none; the message lists those that there are.
    """
    if name not in METRICS:
        raise InputError("prune in structures", found=f"method {name!r}",
                         expected="one of " + ", ".join(sorted(METRICS)))
    return name
