"""Video models and scorers, opened by the names that a user gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import sparse
from neurosparse.errors import InputError, ModelError
from neurosparse.files import read_json
from neurosparse.models import load, resolve
from neurosparse.models.loading import find_device
from neurosparse.video import (
    AskedScorer,
    DualScorer,
    Family,
    FunctionScorer,
    Scorer,
    VideoProcessor,
    WordScorer,
    convert_llava_video,
    family_of,
    load_processor,
)

# The published LLaVA-Video has a model type that transformers does not know.
_PUBLISHED = ("llava_qwen",)


@dataclass(frozen=True)
class VideoModel:
    """A video model ready to be asked.

    Attributes
    ----------
    model
        Of transformers, in eval mode.
    processor
        The halves of its processor.
    family
        Its adapter.
    name
        As asked for.
    """

    model: Any
    processor: VideoProcessor
    family: Family
    name: str


def model_type(name: str) -> str:
    """``config.model_type`` of a folder or hub id.

    Raises
    ------
    NeurosparseError
        As for ``models.resolve``; a file in place of a folder.
    """
    return str(read_json(_folder(name) / "config.json").get("model_type"))


def open_video_model(
    name: str, *, dtype: str = "float32", device: str = "cpu", converted: str | None = None
) -> VideoModel:
    """Load a video model of any family that has an adapter, dense or packed, with its processor.

    Parameters
    ----------
    name
        Folder or hub id.
    dtype, device
        How it computes.
    converted
        For the published LLaVA-Video: folder that it is rewritten to, once.

    Raises
    ------
    NeurosparseError
        As for ``models.load``, ``load_processor`` and ``family_of``; a published LLaVA-Video
        without a folder for its conversion.
    """
    find_device(f"load {name}", device)
    folder = _folder(name)
    if model_type(name) in _PUBLISHED:
        folder = _converted(name, folder, converted)
    model = (sparse.load(folder, dtype=dtype, device=device) if sparse.is_packed(folder)
             else load(folder, dtype=dtype, device=device).model)
    return VideoModel(model, load_processor(folder), family_of(model), name)


def open_scorer(
    name: str, main: VideoModel, *, tokens: int | None = None, paraphrase: bool = False,
    dtype: str = "float32", device: str = "cpu",
) -> Scorer:
    """Who scores the frames.

    Parameters
    ----------
    name
        ``"self"``: the main model is asked; ``"words"``: its features are compared with its
        words; ``"none"``: all frames alike; else the folder or hub id of a CLIP or SigLIP, or of
        another video model, which is asked.
    main
        The main model.
    tokens
        Tokens that a model which is asked yes or no sees a frame with; its own number where None.
    paraphrase
        Ask it in a second wording as well.
    dtype, device
        Of a scorer that is loaded.

    Raises
    ------
    NeurosparseError
        As for ``open_video_model``; ``tokens`` below 1; a paraphrase for a scorer that is not
        asked.
    """
    if tokens is not None and tokens < 1:
        raise InputError("score frames", found=f"{tokens} tokens a frame", expected="1 or more")
    if name == "self":
        return AskedScorer(main.model, main.processor, family=main.family, tokens=tokens,
                           paraphrase=paraphrase)
    unasked = name in ("none", "words") or _is_dual(name)
    if paraphrase and unasked:
        raise InputError("score frames", found=f"a paraphrase for the scorer {name}",
                         expected="a video model that is asked")
    if name == "none":
        return FunctionScorer(_alike, "none")
    if name == "words":
        return WordScorer(main.model, main.processor, family=main.family)
    if unasked:
        folder = _folder(name)
        parts = load_processor(folder)
        return DualScorer(_load_dual(folder, dtype, device), parts.image_processor,
                          parts.tokenizer)
    try:
        other = open_video_model(name, dtype=dtype, device=device)
    except ModelError as error:
        raise ModelError(f"open the scorer {name}", found=error.found,
                         expected="a CLIP or SigLIP, or a video model") from error
    return AskedScorer(other.model, other.processor, family=other.family, tokens=tokens,
                       paraphrase=paraphrase)


def _alike(pictures: Any, question: str) -> NDArray[np.float64]:
    return np.ones(len(pictures))


def _folder(name: str) -> Path:
    source = resolve(name)
    if source.gguf_file is not None:
        raise InputError(f"load {name}", found="a GGUF file", expected="a folder or hub id",
                         mend="GGUF holds the language part of a video model alone.")
    return source.path


def _is_dual(name: str) -> bool:
    """Two towers, of pictures and of texts."""
    return model_type(name) in ("clip", "siglip", "siglip2")


def _load_dual(folder: Path, dtype: str, device: str) -> Any:
    from transformers import AutoModel

    from neurosparse.models.quiet import quiet

    with quiet():
        model = AutoModel.from_pretrained(str(folder), local_files_only=True, dtype=dtype)
    return model.eval().requires_grad_(False).to(device)


def _converted(name: str, source: Path, target: str | None) -> Path:
    if target is None:
        raise InputError(f"load {name}", found="a LLaVA-Video as it is published",
                         expected="a folder for it in the form that transformers loads",
                         mend="Name one with --converted; it is written once.")
    place = Path(target)
    if not (place / "config.json").is_file():
        convert_llava_video(source, place)
    return place
