"""Recover a model right after its cut (``neurosparse prune --structured --recover``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosparse.adaptation import UNPRUNED, LosaOptions, TrainOptions
from neurosparse.errors import InputError
from neurosparse.models import load_tokenizer, resolve
from neurosparse.pipeline.adapt_cost import adapt_cost
from neurosparse.pipeline.adapt_options import AdaptOptions, gather_windows
from neurosparse.pipeline.adapt_step import adapt_step
from neurosparse.pipeline.steps import StepOptions
from neurosparse.pipeline.stored import kind_of_source
from neurosparse.progress import Progress, silent


@dataclass(frozen=True)
class RecoveryOptions:
    """How a cut model recovers; what is not said here is as ``neurosparse adapt`` has it.

    Attributes
    ----------
    data
        Text to learn from; its last tenth reports.
    tokens
        Training tokens; all that there are by default.
    rank, learning_rate
        Of the updates; of AdamW.
    distill
        Share of the loss that is the divergence from the model before the cut.
    """

    data: str
    tokens: int | None = None
    rank: int = 10
    learning_rate: float = 1e-3
    distill: float = 0.0


class Recovery:
    """A recovery that was checked before the cut, which may take long.

    Parameters
    ----------
    options
        Of the cut.
    how
        Of the recovery.
    out
        Folder of the cut model; the recovered one goes beside it, in ``<out>-recovered``.

    Raises
    ------
    NeurosparseError
        As ``LosaOptions`` and the texts; that folder exists.
    """

    def __init__(self, options: StepOptions, how: RecoveryOptions, out: str | Path) -> None:
        cut = Path(out)
        self.folder = cut.with_name(cut.name + "-recovered")
        if self.folder.exists():
            raise InputError("prune --recover", found=f"{self.folder} exists",
                             expected="a new folder")
        train = TrainOptions(learning_rate=how.learning_rate, distill=how.distill)
        losa = LosaOptions(**UNPRUNED, rank=how.rank, most=max(16, how.rank), train=train)
        self._dense, self._cut = options.model, str(cut)
        self._options: dict[str, Any] = {
            "losa": losa, "out": str(self.folder), "data": how.data, "tokens": how.tokens,
            "window_length": options.window_length, "dtype": options.dtype,
            "device": options.device, "products": options.products,
            "values": kind_of_source(resolve(options.model)),
            "teacher": options.model if how.distill else None}
        gather_windows(self._adapt(self._dense), load_tokenizer(self._dense))

    def cost(self) -> float:
        """Seconds of learning, at most: of the model before the cut."""
        return float(adapt_cost(self._adapt(self._dense))["seconds"]["learn"])

    def run(self, progress: Progress = silent) -> dict[str, Any]:
        """Results of ``adapt_step`` on the cut model.

        Raises
        ------
        NeurosparseError
            As ``adapt_step``.
        """
        return adapt_step(self._adapt(self._cut), progress=progress)

    def _adapt(self, model: str) -> AdaptOptions:
        return AdaptOptions(model=model, **self._options)
