"""Recovery of a model that was cut or pruned: it learns, and nothing more goes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from neurosparse.adaptation.loop import Loop, Watch
from neurosparse.adaptation.losa import check_text
from neurosparse.adaptation.options import UNPRUNED, LosaOptions
from neurosparse.adaptation.result import LosaResult
from neurosparse.adaptation.training import TrainOptions
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent


def recover(model: nn.Module, data: Tensor, *, rank: int = 10, scale: float = 2.0,
            dropout: float = 0.0, update: str = "low-rank", teacher: nn.Module | None = None,
            train: TrainOptions | None = None, every: int = 25,
            folder: str | Path | None = None, resume: bool = False, watch: Watch | None = None,
            progress: Progress = silent) -> LosaResult:
    """Low-rank learning on every linear of the blocks, merged in the end.

    ``y = x (W + s M o (B A))^T`` with M the entries of W that are not zero: of a model that was cut
    (no zeros) that is LoRA (arXiv 2106.09685), as LLM-Pruner recovers (arXiv 2305.11627); of a
    sparse one it is masked LoRA, and the zeros stay. Shapes stay as they are: a cut model is as
    uneven as before, and ``sparse.save_uneven`` saves it.

    Parameters
    ----------
    model
        From ``models.load``, in memory, dense; changed in place, plain at the end.
    data : int64 tensor of shape (windows, length)
        Training windows, each seen once.
    rank
        Of every linear's update; of a linear with fewer rows or columns as many as it has.
    scale, dropout
        alpha / r; on the update's input.
    update
        ``"low-rank"``, or ``"values"``: all weights that are not zero (AdamW's moments of them in
        memory).
    teacher
        The model before it was cut, of the same vocabulary, where ``train`` distils.
    train
        How it learns; ``TrainOptions()`` by default.
    every
        Optimiser steps between checkpoints.
    folder, resume
        Where checkpoints are kept; go on with them.
    watch, progress
        See the losses; see how far it is.

    Returns
    -------
    LosaResult
        With one step.

    Raises
    ------
    InputError
        Options out of their range, too little text, distillation without a teacher or from one of
        another vocabulary.
    ModelError
        No linear in the blocks; with a ``folder``, a weight that is NaN or infinite.
    DivergenceError
        A loss that is not finite; the last checkpoint stays.
    ResumeError
        ``folder`` holds another run.

    Examples
    --------
    >>> import torch, transformers
    >>> from neurosparse.adaptation import recover
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    ...     num_attention_heads=4, num_key_value_heads=2)
    >>> model = transformers.LlamaForCausalLM(config).eval()
    >>> done = recover(model, torch.randint(64, (8, 16)), rank=4)
    >>> len(done.losses), done.sparsity
    (4, 0.0)
    """
    check_text(data)
    chosen = LosaOptions(**UNPRUNED, update=update, rank=rank, most=max(16, rank), scale=scale,
                         dropout=dropout, every=every, train=train or TrainOptions())
    check_teacher(model, teacher, chosen.train)
    loop = Loop(model, data, None, chosen, teacher, None, progress)
    if folder is not None:
        loop.keep_in(folder, resume)
    return loop.run(watch or (lambda _info: None))


def check_teacher(model: nn.Module, teacher: nn.Module | None, train: TrainOptions) -> None:
    """A teacher where one is needed, and only there; it must know the same words.

    Raises
    ------
    InputError
        None of it.
    """
    if (teacher is not None) != train.taught:
        raise InputError(
            "adapt", found="a teacher and no share of it in the loss" if teacher is not None
            else "distillation without a teacher",
            expected="both: the model as it was, and how much of the loss it is",
            mend="--teacher MODEL --distill 1")
    if teacher is None:
        return
    ours, theirs = (_words(one) for one in (model, teacher))
    if ours != theirs:
        raise InputError("adapt", found=f"a teacher of {theirs} words for a model of {ours}",
                         expected="the same vocabulary",
                         mend="Name the model that this one was cut from.")


def _words(model: nn.Module) -> int:
    """Width of the logits."""
    head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    return len(head.weight)  # type: ignore[arg-type]
