"""Accuracy with its error; that of an image classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurosparse.errors import InputError


@dataclass(frozen=True)
class Accuracy:
    """Share of cases (images, choice items) that were right.

    Attributes
    ----------
    right : bool array of shape (cases,)
    """

    right: NDArray[np.bool_]

    @property
    def value(self) -> float:
        """The accuracy."""
        return float(self.right.mean())

    @property
    def stderr(self) -> float:
        """Binomial standard error."""
        return math.sqrt(self.value * (1 - self.value) / len(self.right))


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 64) -> Accuracy:
    """Classify images with a model that answers with ``logits``.

    Parameters
    ----------
    model
        Of transformers, for image classification.
    images : float tensor of shape (images, channels, height, width)
    labels : int64 tensor of shape (images,)

    Raises
    ------
    InputError
        No images, or another number of labels.
    """
    if not len(images) or len(images) != len(labels):
        raise InputError("accuracy", found=f"{len(images)} images, {len(labels)} labels",
                         expected="as many of both, at least one")
    with torch.inference_mode():
        found = torch.cat([model(pixel_values=batch).logits.argmax(-1).cpu()
                           for batch in torch.split(images, batch_size)])
    return Accuracy((found == labels.cpu()).numpy())


def paired_counts(first: Accuracy, second: Accuracy) -> tuple[int, int]:
    """Cases that only the first has right, and those that only the second has.

    Raises
    ------
    InputError
        The cases are not as many.
    """
    if len(first.right) != len(second.right):
        raise InputError("compare accuracies",
                         found=f"{len(first.right)} and {len(second.right)} cases",
                         expected="the same cases")
    return (int((first.right & ~second.right).sum()), int((second.right & ~first.right).sum()))
