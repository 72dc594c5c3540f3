"""What ``neurosparse adapt`` is asked for, and its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from neurosparse.adaptation import LosaOptions
from neurosparse.adaptation.schedule import batches_of_steps
from neurosparse.errors import InputError, TextError
from neurosparse.measure import protocol
from neurosparse.models import PRODUCTS, read_documents, windows
from neurosparse.sparse.kinds import find_group

# Of one text that is given, the last tenth reports.
_HELD = 0.1


@dataclass(frozen=True)
class AdaptOptions:
    """What ``neurosparse adapt`` is asked for.

    Attributes
    ----------
    model, out
        What to adapt, the folder of a cut model too; folder of the results.
    losa
        How, see ``LosaOptions``; without a sparsity as ``adaptation.recover``.
    data
        Training text; by default the protocol's calibration side beyond the calibration windows.
    report_text
        Text of the reported perplexity; by default the last tenth of ``data``, or the protocol's
        report side.
    tokens
        Training tokens; all that there are by default, 50,000 of the protocol's.
    window_length, report_windows
        Tokens in a window; windows of the reported perplexity.
    values, group_size
        How weights are stored; columns that share a scale, as for ``sparse.pack``.
    teacher
        The dense model, where ``losa.train`` distils; a model that is pruned here is its own.
    dtype, device
        How the model computes.
    products
        Of the matrix products that prune and learn: ``"auto"``, bfloat16 where that is fast; or
        ``"own"``, in ``dtype``. Reports are in ``dtype``.

    Raises
    ------
    InputError
        An unknown kind of values or products, a size of groups that the kind has not, or a number
        out of its range.
    """

    model: str
    losa: LosaOptions
    out: str = "adapted"
    data: str | None = None
    report_text: str | None = None
    tokens: int | None = None
    window_length: int = 512
    report_windows: int = 16
    values: str = "bf16"
    group_size: int | None = None
    teacher: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    products: str = "auto"

    def __post_init__(self) -> None:
        find_group(self.values, self.group_size)
        if self.products not in PRODUCTS:
            raise InputError("adapt", found=f"products {self.products!r}",
                             expected=" or ".join(PRODUCTS))
        least = {"tokens": 1, "window_length": 2, "report_windows": 1}
        for name, few in least.items():
            given = getattr(self, name)
            if given is not None and given < few:
                raise InputError("adapt", found=f"{name} {given}", expected=f"at least {few}")


@dataclass(frozen=True)
class Windows:
    """Windows that learn, prune and report, int64 tensors of shape (windows, length)."""

    data: torch.Tensor
    calibration: torch.Tensor
    report: torch.Tensor


def gather_windows(options: AdaptOptions, tokenizer: Any) -> Windows:
    """Texts kept apart: what reports is never learnt from.

    Raises
    ------
    TextError
        A text is missing or too short.
    InputError
        Fewer batches of windows than steps.
    """
    length = options.window_length
    if options.data is None:
        whole = windows(tokenizer, protocol.side("calibration"), length=length)
        calibration, rest = whole[: options.losa.windows], whole[options.losa.windows :]
        held = protocol.side("report")
        tokens = options.tokens or 50_000
    else:
        whole = windows(tokenizer, read_documents(options.data), length=length)
        cut = len(whole)
        if options.report_text is None:
            if cut < 2:
                raise TextError("adapt", found=f"{options.data} of one window of {length} tokens",
                                expected="one to learn from and one to report on",
                                mend="Give more text, a --report-text, or shorter windows.")
            cut = max(1, min(cut - 1, round((1 - _HELD) * cut)))
        rest, held = whole[:cut], []
        calibration = rest[: options.losa.windows]
        tokens = options.tokens or rest.numel()
    if options.report_text is not None:
        reported = windows(tokenizer, read_documents(options.report_text), length=length)
    else:
        reported = windows(tokenizer, held, length=length) if held else whole[cut:]
    count = min(len(rest), -(-tokens // length))
    batches_of_steps(count // options.losa.train.batch_size, options.losa.steps)
    return Windows(rest[:count], calibration, reported[: options.report_windows])
