"""Round a model by its inputs before it is packed (``neurosparse pack --rounding gptq``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.measure import dense_twin
from neurosparse.models import Target, find_targets, get_weight
from neurosparse.pipeline.opening import Opened
from neurosparse.pipeline.steps import StepOptions
from neurosparse.pipeline.texts import gather
from neurosparse.progress import Progress, silent
from neurosparse.pruning import round_model
from neurosparse.sparse import SparseExperts, SparseLinear
from neurosparse.sparse.kinds import GROUPED

ROUNDINGS = ("nearest", "gptq")


@dataclass(frozen=True)
class Rounding:
    """How kept weights become whole numbers.

    Attributes
    ----------
    how
        ``"nearest"``: each by itself. ``"gptq"``: by the inputs of calibration text, so that
        outputs change little (``pruning.round_model``).
    calibration
        Text file, JSON lines or data set; the protocol's calibration side by default.
    windows, window_length
        Windows of it, and tokens in each.

    Raises
    ------
    InputError
        Another way, or no window.
    """

    how: str = "nearest"
    calibration: str | None = None
    windows: int = 16
    window_length: int = 512

    def __post_init__(self) -> None:
        if self.how not in ROUNDINGS:
            raise InputError("pack", found=f"rounding={self.how!r}",
                             expected="one of " + ", ".join(ROUNDINGS))
        if self.windows < 1 or self.window_length < 2:
            raise InputError("pack", found=f"{self.windows} windows of {self.window_length} tokens",
                             expected="at least one window of two tokens")

    def check(self, values: str, *, stream: bool) -> None:
        """Refuse what cannot be rounded by its inputs.

        Raises
        ------
        InputError
            Values that are no whole numbers, or a model whose blocks stay on disk.
        """
        if self.how == "nearest":
            if self.calibration is not None:
                raise InputError("pack", found=f"calibration {self.calibration}, which rounding to "
                                 "the nearest does not read", expected="rounding='gptq' with it",
                                 mend="Give --rounding gptq, or no --calibration.")
            return
        if values not in GROUPED:
            raise InputError("pack", found=f"rounding={self.how!r} with values={values!r}",
                             expected=f"values {' or '.join(GROUPED)}")
        if stream:
            raise InputError("pack", found=f"rounding={self.how!r} with a streamed model",
                             expected="a model in memory")


@dataclass(frozen=True)
class Rounded:
    """A model for ``sparse.save``: what to keep of which targets, and what was done otherwise."""

    model: Any
    masks: dict[str, torch.Tensor]
    targets: list[Target]
    notes: list[str]


def round_by_inputs(source: Opened, values: str, group: int | None, rounding: Rounding, *,
                    progress: Progress = silent
                    ) -> Rounded:
    """A dense float32 form of the model with rounded weights, as ``sparse.save`` takes it.

    Of a packed model that is what is packed in it, of a dense one all linears of its blocks.

    Raises
    ------
    NeurosparseError
        As the texts and ``pruning.round_model``.
    """
    options = StepOptions(source.name, rounding.calibration, rounding.windows,
                          rounding.window_length)
    texts = gather(options.full(), source.tokenizer)
    masks: dict[str, torch.Tensor] = {}
    if source.packed:
        packed = {name: module for name, module in source.model.named_modules()
                  if isinstance(module, (SparseLinear, SparseExperts))}
        masks = {name: torch.from_numpy(kernels.unpack_mask(module.bitmap.numpy(), module.cols))
                 for name, module in packed.items() if isinstance(module, SparseLinear)}
        model = dense_twin(source.model, dtype=torch.float32)
        targets = [target for target in find_targets(model)
                   if target.name in packed or target.name.rpartition(".")[0] in packed]
    else:
        model, targets = source.model, find_targets(source.model)
    for target in targets:  # a weight that becomes zero stays one that was kept
        masks.setdefault(target.name, get_weight(model, target) != 0)
    report = round_model(model, texts.calibration, bits=4 if values == "int4" else 8, group=group,
                         masks=masks, targets=targets, progress=progress)
    return Rounded(model, masks, targets, [*texts.notes, *report.notes])
