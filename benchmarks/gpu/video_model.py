"""A video model of LLaVA-OneVision-7B's shapes with random weights, and a film to show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from card import Where
from tokenizers import Tokenizer, models, pre_tokenizers

from neurosparse.video import VideoProcessor

_SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>", "<|im_start|>", "<|im_end|>"]
_WORDS = ["A", "B", "A.", "B.", "yes", "no", "what", "is", "the", "last", "thing", "seen", "?",
          "Answer", "with", "letter", "only."]
_KNOWN = {word: place for place, word in enumerate([*_SPECIAL, *_WORDS])}


def tokenizer() -> Any:
    """Words as tokens: what the model says does not matter, how long it reads does."""
    core = Tokenizer(models.WordLevel(_KNOWN, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = hf.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", pad_token="<pad>",
                                      bos_token="<s>", eos_token="</s>")
    made.add_special_tokens({"additional_special_tokens": _SPECIAL[4:]})
    return made


def config(where: Where) -> Any:
    """SigLIP-so400m at 384 pixels before Qwen2-7B, or both very small."""
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
              "num_attention_heads": 16, "patch_size": 14, "image_size": 384}
    text = {"vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
            "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
            "max_position_embeddings": 32768}
    if where.small:
        vision |= {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
                   "num_attention_heads": 2, "patch_size": 4, "image_size": 28}
        text |= {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
                 "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    size = vision["image_size"]
    return hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**vision, vision_use_head=False),
        text_config=hf.Qwen2Config(**text, bos_token_id=1, eos_token_id=2, pad_token_id=0),
        image_grid_pinpoints=[[size, size]], vision_feature_layer=-1,
        vision_feature_select_strategy="full", image_token_id=_KNOWN["<image>"],
        video_token_id=_KNOWN["<video>"])


def video_model(where: Where) -> tuple[Any, VideoProcessor]:
    """In bfloat16 on the device, with the halves of a processor."""
    torch.manual_seed(0)
    with torch.device(where.device):
        model = hf.AutoModelForImageTextToText.from_config(config(where), dtype=torch.bfloat16)
    return model.eval().requires_grad_(False), VideoProcessor(hf.SiglipImageProcessorPil(),
                                                              tokenizer())


def film(path: Path, frames: int, size: tuple[int, int] = (640, 360)) -> Path:
    """Smooth noise that moves, as a codec meets it."""
    import av

    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(0, 255, (size[1] // 8 + 1, size[0] // 8 + 1, 3)),
                     np.ones((8, 8, 1)))[: size[1], : size[0]].astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = np.ascontiguousarray(np.roll(ground, 3 * number, axis=1))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
