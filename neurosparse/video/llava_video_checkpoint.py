"""LLaVA-Video-7B-Qwen2 as it is published, rewritten for the OneVision classes of transformers."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurosparse.errors import FormatError, InputError
from neurosparse.extras import extras_named
from neurosparse.files import read_json, write_whole_folder

FAMILY_ATTRIBUTE = "neurosparse_family"

_TEXT = (
    "attention_dropout", "bos_token_id", "eos_token_id", "hidden_act", "hidden_size",
    "initializer_range", "intermediate_size", "max_position_embeddings", "max_window_layers",
    "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps",
    "rope_theta", "sliding_window", "tie_word_embeddings", "use_sliding_window", "vocab_size",
)
_TOWER = "model.vision_tower.vision_tower.vision_model."
_PATCHES = f"{_TOWER}embeddings.patch_embedding.weight"
_PLACES = f"{_TOWER}embeddings.position_embedding.weight"
# A head of SigLIP so400m is 72 wide; the checkpoint does not say.
_HEAD_WIDTH = 72
_TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<{{ part['type'] }}>\n{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def converted_name(name: str, known: set[str]) -> str | None:
    """The name of a published weight in the OneVision classes; None for one they do not have.

    Parameters
    ----------
    name
        As published.
    known
        Names that the classes have: versions of transformers differ in one level of the tower.
    """
    if name.startswith(_TOWER):
        rest = name.removeprefix(_TOWER)
        found = (f"model.vision_tower.{rest}", f"model.vision_tower.vision_model.{rest}")
        return next((one for one in found if one in known), None)
    for old, new in (("model.mm_projector.0.", "model.multi_modal_projector.linear_1."),
                     ("model.mm_projector.2.", "model.multi_modal_projector.linear_2."),
                     ("model.image_newline", "model.image_newline"),
                     ("model.", "model.language_model."), ("lm_head.", "lm_head.")):
        if name.startswith(old):
            whole = new + name.removeprefix(old)
            return whole if whole in known else None
    return None


def convert_llava_video(
    source: str | Path, target: str | Path, *, vision_heads: int | None = None
) -> None:
    """Write a folder that ``LlavaOnevisionForConditionalGeneration`` and ``load_processor`` load.

    One shard is held at a time. The adapter ``"llava-video"`` is noted in the configuration, so
    that :func:`family_of` finds it.

    Parameters
    ----------
    source
        Folder of the published checkpoint, in safetensors, with its tokenizer.
    target
        Folder to write, whole or not at all.
    vision_heads
        Of the vision tower; its width over 72 where None, as in SigLIP so400m.

    Raises
    ------
    InputError
        No such folder.
    FormatError
        Not such a checkpoint, or weights of it are missing.
    StorageError
        The target cannot be written.
    """
    with extras_named():
        from safetensors import safe_open
        from safetensors.torch import save_file
        from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration
    where = Path(source)
    if not where.is_dir():
        raise InputError(f"convert {where}", found="no such folder", expected="a checkpoint")
    shards = sorted(where.glob("*.safetensors"))
    shapes: dict[str, list[int]] = {}
    for shard in shards:
        with safe_open(str(shard), "pt") as stored:
            shapes |= {name: stored.get_slice(name).get_shape() for name in stored.keys()}  # noqa: SIM118
    if _PATCHES not in shapes or _PLACES not in shapes:
        raise FormatError(f"convert {where}", found="no vision tower in the safetensors files",
                          expected="the published checkpoint of LLaVA-Video")
    tokenizer = AutoTokenizer.from_pretrained(str(where), local_files_only=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<video>"]})
    tokenizer.chat_template = _TEMPLATE
    config = _configuration(read_json(where / "config.json"), shapes, tokenizer, vision_heads)
    with torch.device("meta"):
        known = set(LlavaOnevisionForConditionalGeneration(config).state_dict())
    places: dict[str, str] = {}
    with write_whole_folder(target) as folder:
        for shard in shards:
            with safe_open(str(shard), "pt") as stored:
                kept: dict[str, Tensor] = {}
                for name in stored.keys():  # noqa: SIM118
                    new = converted_name(name, known)
                    if new is not None:
                        kept[new] = stored.get_tensor(name)
                        places[new] = shard.name
            save_file(kept, str(folder / shard.name), metadata={"format": "pt"})
        _check_whole(where, known - set(places), config)
        if len(shards) > 1:
            index = {"metadata": {}, "weight_map": places}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        else:
            (folder / shards[0].name).rename(folder / "model.safetensors")
        config.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        _image_processor(config).save_pretrained(str(folder))


def _configuration(old: dict[str, Any], shapes: dict[str, list[int]], tokenizer: Any,
                   heads: int | None) -> Any:
    from transformers import LlavaOnevisionConfig, Qwen2Config, SiglipVisionConfig

    width, _, patch, _ = shapes[_PATCHES]
    layers = 1 + max(int(found[1]) for name in shapes
                     if (found := re.match(rf"{re.escape(_TOWER)}encoder\.layers\.(\d+)\.", name)))
    side = math.isqrt(shapes[_PLACES][0]) * patch
    vision = SiglipVisionConfig(
        hidden_size=width, num_hidden_layers=layers, patch_size=patch, image_size=side,
        intermediate_size=shapes[f"{_TOWER}encoder.layers.0.mlp.fc1.weight"][0],
        num_attention_heads=heads or max(1, width // _HEAD_WIDTH), vision_use_head=False)
    # Published code leaves out SigLIP's last layer before saving and reads the last one left.
    config = LlavaOnevisionConfig(
        vision_config=vision, text_config=Qwen2Config(**{k: old[k] for k in _TEXT if k in old}),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1, vision_feature_select_strategy="full",
        image_grid_pinpoints=[[side, side]],
        tie_word_embeddings=bool(old.get("tie_word_embeddings", False)),
        architectures=["LlavaOnevisionForConditionalGeneration"])
    setattr(config, FAMILY_ATTRIBUTE, "llava-video")
    return config


def _check_whole(where: Path, missing: set[str], config: Any) -> None:
    if config.tie_word_embeddings:
        missing = missing - {"lm_head.weight"}
    if missing:
        raise FormatError(f"convert {where}", found=f"no weights for {min(missing)}",
                          expected="a weight for every parameter",
                          mend="The checkpoint is incomplete, or is another model.")


def _image_processor(config: Any) -> Any:
    from transformers import SiglipImageProcessorPil

    side = config.vision_config.image_size
    return SiglipImageProcessorPil(size={"height": side, "width": side}, resample=3)
