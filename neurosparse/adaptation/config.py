"""The PEFT configuration, and reading an adapter back."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from torch import nn
from transformers.pytorch_utils import Conv1D

from neurosparse.adaptation.layer import MaskedLora, adapters_of
from neurosparse.adaptation.packed_layer import PackedMaskedLora
from neurosparse.errors import InputError, ModelError
from neurosparse.models import find_blocks, find_targets
from neurosparse.models.targets import check_patterns
from neurosparse.sparse import SparseLinear


class MaskedLoraConfig(LoraConfig):
    """LoRA configuration of PEFT whose layers keep the zeros of what they adapt.

    Takes all that ``peft.LoraConfig`` takes; give it to ``peft.get_peft_model``. Linears, GPT-2's
    ``Conv1D`` and packed ``SparseLinear`` are adapted. ``MaskedLoraConfig.from_pretrained(folder)``
    is what ``PeftModel.from_pretrained(model, folder, config=...)`` needs.
    """

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self._register_custom_module({
            SparseLinear: PackedMaskedLora, nn.Linear: MaskedLora, Conv1D: MaskedLora})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, subfolder: str | None = None,
                        **kwargs: Any) -> MaskedLoraConfig:
        """Read ``adapter_config.json``; PEFT alone would give a plain ``LoraConfig``."""
        folder = pretrained_model_name_or_path
        plain = LoraConfig.from_pretrained(folder, subfolder, **kwargs)
        if not isinstance(plain, LoraConfig):
            raise ModelError(f"read the adapter in {folder}", found=type(plain).__name__,
                             expected="an adapter of LoRA")
        known = {name: value for name, value in vars(plain).items()
                 if name in LoraConfig.__dataclass_fields__}
        return cls(**known)


def lora_config(model: nn.Module, rank: int = 8, *, scale: float = 2.0, dropout: float = 0.0,
                ranks: Mapping[str, int] | None = None, exclude: Sequence[str] = (),
                **options: Any) -> MaskedLoraConfig:
    """Masked LoRA on every linear of the decoder blocks.

    Parameters
    ----------
    model
        Pruned or packed, of transformers.
    rank
        Of linears that ``ranks`` does not name.
    scale
        alpha / r, the same for all ranks (2 in LoSA).
    dropout
        On the input of the update. With none, forward is one product instead of two.
    ranks
        Ranks by module path.
    exclude
        Glob patterns of linears to leave alone.
    options
        Others of ``peft.LoraConfig``.

    Raises
    ------
    ModelError
        Nothing to adapt, or names that PEFT takes for fused experts.
    InputError
        A rank for what is not a linear of the blocks; a pattern that fits none.
    """
    names = linears_of(model, exclude)
    by_name = dict(ranks or {})
    wrong = sorted(set(by_name) - set(names))
    if wrong:
        raise InputError("masked LoRA", found=f"a rank for {wrong[0]!r}",
                         expected="linears of the decoder blocks")
    patterns = {f"^{re.escape(name)}$": value for name, value in by_name.items()}
    alphas = {pattern: scale * value for pattern, value in patterns.items()}
    chosen: dict[str, Any] = {
        "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": scale * rank, "lora_dropout": dropout,
        "target_modules": names, "rank_pattern": patterns, "alpha_pattern": alphas, **options}
    config = MaskedLoraConfig(**chosen)
    _check_meaning(model, config)
    return config


def _check_meaning(model: nn.Module, config: MaskedLoraConfig) -> None:
    """Refuse names that PEFT takes for others.

    Of some mixtures it reads ``gate_proj``, of a shared expert or a block without experts too, as
    transformers 4 named the parts of what is one stack today, and puts LoRA without a mask there.
    """
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
    except ImportError:  # an older one takes names as they are
        return
    if not hasattr(model, "config"):
        return
    read = copy.deepcopy(config)
    convert_peft_config_for_transformers(read, model=model, conversions=None)
    lost = sorted(set(config.target_modules or ()) - set(read.target_modules or ()))
    if lost:
        raise ModelError(
            "masked LoRA", found=f"{lost[0]!r}, which PEFT takes for the fused experts",
            expected="names that PEFT takes as they are",
            mend="Leave them out (exclude=['*gate_proj', '*up_proj', '*down_proj']), or learn with "
                 "neurosparse.adaptation.losa or recover, which adapt them and the experts.")


def linears_of(model: nn.Module, exclude: Sequence[str] = ()) -> list[str]:
    """Module paths of the linears of the decoder blocks, dense or packed.

    Fused experts are not among them: PEFT has no layer of theirs that keeps a mask. ``losa`` and
    ``recover`` adapt them too.

    Raises
    ------
    ModelError
        There is none.
    InputError
        A pattern that fits none.
    """
    packed = [f"{name}.{inner}" for name, block in find_blocks(model)
              for inner, module in block.named_modules() if isinstance(module, SparseLinear)]
    if packed:
        check_patterns(exclude, packed)
    names = packed or [target.name for target in find_targets(model, exclude=exclude)
                       if target.expert is None]
    names = [name for name in names if not any(fnmatchcase(name, one) for one in exclude)]
    if not names:
        raise ModelError("masked LoRA", found="no linear in the decoder blocks",
                         expected="linears to adapt")
    return names


def load_adapter(model: nn.Module, folder: str | Path, *, trainable: bool = False) -> PeftModel:
    """A model with a saved adapter, checked against it.

    Parameters
    ----------
    model
        The sparse model that the adapter was made for.
    folder
        What ``save_pretrained`` of the PEFT model wrote.
    trainable
        Whether training goes on.

    Raises
    ------
    ModelError
        The adapter belongs to another base model.
    """
    config = MaskedLoraConfig.from_pretrained(str(folder))
    found = PeftModel.from_pretrained(model, str(folder), config=config, is_trainable=trainable)
    for name, layer in adapters_of(found).items():
        layer.check_base("default", name)
    return found
