"""Which adapter serves a model."""

from __future__ import annotations

from typing import Any

from neurosparse.errors import ModelError
from neurosparse.video.families.family import Family
from neurosparse.video.families.internvl import InternVL
from neurosparse.video.families.llava_next_video import LlavaNextVideo
from neurosparse.video.families.llava_onevision import LlavaOnevision, LlavaVideo
from neurosparse.video.families.qwen3_vl import Qwen3VL
from neurosparse.video.families.qwen_vl import QwenVL
from neurosparse.video.families.smolvlm import SmolVLM

FAMILIES: dict[str, Family] = {
    family.name: family for family in (
        LlavaOnevision(), LlavaVideo(), LlavaNextVideo(), QwenVL(), Qwen3VL(), InternVL(),
        SmolVLM(),
    )
}


def family_of(model: Any, family: str | Family | None = None) -> Family:
    """The adapter of a model.

    Parameters
    ----------
    model
        Of transformers.
    family
        A name, or an adapter of the user's own. Where None, ``config.neurosparse_family`` (which
        ``convert_llava_video`` writes), and else ``config.model_type``.

    Raises
    ------
    ModelError
        No adapter of that name, or none for this type of model.
    """
    if isinstance(family, Family):
        return family
    config = getattr(model, "config", None)
    family = family if family is not None else getattr(config, "neurosparse_family", None)
    if family is not None:
        if family not in FAMILIES:
            raise ModelError("find an adapter", found=f"family={family!r}",
                             expected=", ".join(sorted(FAMILIES)))
        return FAMILIES[family]
    kind = getattr(config, "model_type", None)
    for adapter in FAMILIES.values():
        if kind in adapter.model_types:
            return adapter
    known = sorted(one for adapter in FAMILIES.values() for one in adapter.model_types)
    raise ModelError("find an adapter", found=f"a model of type {kind!r}",
                     expected=", ".join(known),
                     mend="Give an adapter of your own: a subclass of video.Family.")
