"""The two halves of a processor that work without torchvision: images and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurosparse.errors import FormatError, InputError
from neurosparse.extras import extras_named
from neurosparse.files import read_json, write_json
from neurosparse.video.literal import without_special_tokens


@dataclass(frozen=True)
class VideoProcessor:
    """An image processor and a tokenizer of transformers.

    The processors of transformers 5 hold a video processor, and every video processor needs
    torchvision; frames go in as images here. A whole processor of transformers can be given
    wherever this is asked: the two halves are taken from it.

    Attributes
    ----------
    image_processor, tokenizer
        Of transformers.
    chat_template
        Jinja text; the tokenizer's own where None.
    """

    image_processor: Any
    tokenizer: Any
    chat_template: str | None = None

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both halves, and the template where it is not the tokenizer's own.

        A folder of a pruned model needs them beside its weights, and is given to ``sparse.save``
        as ``tokenizer``.
        """
        self.image_processor.save_pretrained(str(folder))
        self.tokenizer.save_pretrained(str(folder))
        if self.chat_template is not None:
            write_json(Path(folder) / "chat_template.json", {"chat_template": self.chat_template})


def halves(processor: Any) -> VideoProcessor:
    """The image processor and the tokenizer of any processor.

    Raises
    ------
    InputError
        It lacks one of them.
    """
    if isinstance(processor, VideoProcessor):
        return processor
    images = getattr(processor, "image_processor", None)
    tokenizer = getattr(processor, "tokenizer", None)
    if images is None or tokenizer is None:
        raise InputError("use a processor", found=type(processor).__name__,
                         expected="one with image_processor and tokenizer",
                         mend="neurosparse.video.load_processor(folder) makes one.")
    return VideoProcessor(images, tokenizer, getattr(processor, "chat_template", None))


def load_processor(folder: str | Path) -> VideoProcessor:
    """Load the image processor and tokenizer of a model's folder; torchvision is not needed.

    Raises
    ------
    InputError
        No such folder.
    FormatError
        Files are missing or cannot be read.
    """
    with extras_named():
        from transformers import AutoImageProcessor, AutoTokenizer
    where = Path(folder)
    if not where.is_dir():
        raise InputError(f"load the processor of {where}", found="no such folder",
                         expected="the folder of a model")
    try:
        auto: Any = AutoImageProcessor
        images = auto.from_pretrained(str(where), local_files_only=True, backend="pil")
        tokenizer = AutoTokenizer.from_pretrained(str(where), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"load the processor of {where}", found=str(error).splitlines()[0],
                          expected="preprocessor_config.json and tokenizer files") from error
    template = where / "chat_template.json"
    if template.is_file():
        return VideoProcessor(images, tokenizer, read_json(template).get("chat_template"))
    return VideoProcessor(images, tokenizer)


def as_images(pictures: Sequence[NDArray[np.uint8]]) -> list[Any]:
    """Pillow images, of which a processor cannot mistake the axes."""
    with extras_named():
        from PIL import Image
    return [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]


def square_pixels(
    processor: VideoProcessor, pictures: Sequence[NDArray[np.uint8]], side: int, *,
    crop: bool = False,
) -> Tensor:
    """Pictures resized to a square and normalised, as video processors do it.

    Mean, deviation and filter are those of the image processor.

    Parameters
    ----------
    processor
        Of the model.
    pictures
        RGB arrays of shape (height, width, 3).
    side
        Pixels.
    crop
        Scale the shorter side and cut the middle out, in place of changing the shape.

    Returns
    -------
    Tensor of shape (pictures, 3, side, side)
    """
    with extras_named():
        from transformers import CLIPImageProcessorPil
    own = processor.image_processor
    square = {"height": side, "width": side}
    plain = CLIPImageProcessorPil(
        size={"shortest_edge": side} if crop else square, do_center_crop=crop, crop_size=square,
        do_resize=True, resample=own.resample, do_rescale=True, rescale_factor=own.rescale_factor,
        do_normalize=True, image_mean=own.image_mean, image_std=own.image_std,
    )
    pixels: Tensor = plain(images=as_images(pictures), return_tensors="pt")["pixel_values"]
    return pixels


def chat(processor: VideoProcessor, marker: str, text: str, *, template: str | None = None) -> str:
    """The prompt of one user's turn with one video, and the start of the answer.

    Parameters
    ----------
    processor
        Of the model.
    marker
        What stands for the video, once, in the result; ``""`` for a turn of text alone.
    text
        The user's; special tokens in it are taken apart.
    template
        In place of the model's own; a marker and a line of text where there is none at all.
    """
    clean = without_special_tokens(text, processor.tokenizer)
    if marker:
        clean = clean.replace(marker, f"{marker[0]} {marker[1:]}")
    chosen = template or processor.chat_template or getattr(processor.tokenizer, "chat_template",
                                                            None)
    if chosen is None:
        return f"{marker}\n{clean}\n" if marker else f"{clean}\n"
    content = [{"type": "text", "text": clean}]
    messages = [{"role": "user", "content": [{"type": "video"}, *content] if marker else content}]
    prompt: str = processor.tokenizer.apply_chat_template(
        messages, chat_template=chosen, tokenize=False, add_generation_prompt=True)
    return prompt


def ids_of(processor: VideoProcessor, prompt: str) -> Tensor:
    """Token ids, shape (1, tokens); no second start token where the template has written one."""
    start = processor.tokenizer.bos_token
    written = start is not None and prompt.startswith(start)
    ids = processor.tokenizer(prompt, add_special_tokens=not written)["input_ids"]
    return torch.tensor([ids], dtype=torch.long)
