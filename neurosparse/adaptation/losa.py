"""LoSA: prune a little, learn under the mask, prune more (arXiv 2502.14816)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.adaptation.loop import Loop, Watch
from neurosparse.adaptation.options import LosaOptions
from neurosparse.adaptation.result import LosaResult
from neurosparse.budgets import Profile
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent


def losa(model: nn.Module, data: Tensor, *, calibration: Tensor | None = None,
         teacher: nn.Module | None = None, profile: Profile | None = None,
         dtype: torch.dtype | None = None,
         folder: str | Path | None = None, resume: bool = False, watch: Watch | None = None,
         progress: Progress = silent, **options: Any) -> LosaResult:
    """Prune a model in steps, learn under the mask after each, and merge.

    Parameters
    ----------
    model
        From ``models.load``, in memory; changed in place, plain and sparse at the end.
    data : int64 tensor of shape (windows, length)
        Training windows, each seen once.
    calibration : int64 tensor of shape (windows, length)
        For pruning and the rates; the first training windows by default.
    teacher
        The dense model for distillation; a copy of ``model`` by default.
    profile
        Of the model as it comes, with the rule's evidence; measured by default. The rule
        ``representation`` measures anew at every step all the same.
    dtype
        Of the calibration's matrix products.
    folder, resume
        Where checkpoints are kept; go on with them.
    watch, progress
        See the losses; see how far it is.
    options
        Fields of ``LosaOptions``; ``sparsity`` is needed.

    Returns
    -------
    LosaResult

    Raises
    ------
    InputError
        Options out of their range, the model is sparser already, or too little text.
    DivergenceError
        A loss that is not finite; the last checkpoint stays.
    ResumeError
        ``folder`` holds another run.
    """
    check_text(data)
    chosen = LosaOptions(**options)
    loop = Loop(model, data, calibration, chosen, teacher, dtype, progress,
                 profile)
    if folder is not None:
        loop.keep_in(folder, resume)
    return loop.run(watch or (lambda _info: None))


def check_text(data: Tensor) -> None:
    """Refuse windows that nothing can be learnt from.

    Raises
    ------
    InputError
        Not int64 windows of two tokens or more.
    """
    if data.ndim != 2 or data.dtype != torch.int64 or data.shape[1] < 2 or not len(data):
        raise InputError("adapt", found=f"{data.dtype} of shape {tuple(data.shape)}",
                         expected="int64 (windows, length)")
