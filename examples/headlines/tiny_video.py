"""Random video models, clips and questions, for ``--tiny``: that a headline runs, no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>", "<|vision_start|>",
           "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
WORDS = ["A", "B", "C", "D", "A.", "B.", "C.", "D.", "yes", "no", "What", "is", "seen", "?"]


def write_tiny_models(folder: Path) -> tuple[str, str]:
    """Folders of a LLaVA-Video in the OneVision classes, and of a Qwen2-VL to score frames."""
    main = _write(folder / "main", hf.LlavaOnevisionForConditionalGeneration(_onevision()),
                  hf.SiglipImageProcessorPil())
    scorer = _write(folder / "scorer", hf.Qwen2VLForConditionalGeneration(_qwen()),
                    hf.Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, temporal_patch_size=2,
                                                size={"shortest_edge": 64,
                                                      "longest_edge": 1024}))
    return main, scorer


def _write(folder: Path, model: Any, images: Any) -> str:
    core = Tokenizer(models.WordLevel(
        {word: at for at, word in enumerate([*SPECIAL, *WORDS])}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>",
                                           pad_token="<pad>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[4:]})
    for part in (model, images, tokenizer):
        part.save_pretrained(folder)
    return str(folder)


def _decoder() -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "bos_token_id": 1,
            "eos_token_id": 2, "vocab_size": len(SPECIAL) + len(WORDS),
            "max_position_embeddings": 32768}


def _onevision() -> Any:
    torch.manual_seed(0)
    vision = hf.SiglipVisionConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                                   num_attention_heads=2, patch_size=4, image_size=28)
    config = hf.LlavaOnevisionConfig(
        vision_config=vision, text_config=hf.Qwen2Config(**_decoder()),
        image_grid_pinpoints=[[28, 28]], vision_feature_layer=-1,
        vision_feature_select_strategy="full", image_token_id=SPECIAL.index("<image>"),
        video_token_id=SPECIAL.index("<video>"))
    config.neurosparse_family = "llava-video"
    return config


def _qwen() -> Any:
    marks = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
             "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    vision = {"depth": 1, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2,
              "temporal_patch_size": 2, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    return hf.Qwen2VLConfig(vision_config=vision, text_config={**_decoder(),
                                                               "rope_parameters": rope},
                            **{name: SPECIAL.index(mark) for name, mark in marks.items()})


def write_tiny_table(folder: Path, videos: int = 3) -> tuple[str, str]:
    """A table with the columns of Video-MME's, and the folder of its clips."""
    import pyarrow as pa
    from pyarrow import parquet

    clips = folder / "clips"
    clips.mkdir()
    rows = []
    for at in range(videos):
        write_clip(clips / f"clip{at}.mp4", np.random.default_rng(at).integers(
            0, 255, (12, 4, 4, 3)).astype(np.uint8).repeat(12, 1).repeat(16, 2))
        rows += [{"videoID": f"clip{at}", "duration": ("short", "medium", "long")[at % 3],
                  "question_id": f"{at}-{which}", "question": "What is seen ?",
                  "options": ["A. yes", "B. no", "C. What", "D. seen"], "answer": "ABCD"[which]}
                 for which in range(2)]
    parquet.write_table(pa.Table.from_pylist(rows), folder / "test.parquet")
    return str(folder / "test.parquet"), str(clips)


def write_clip(path: Path, pictures: np.ndarray, rate: int = 4) -> None:
    """Write RGB pictures, shape (frames, height, width, 3), as a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = pictures.shape[2], pictures.shape[1]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for at, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
