"""The plug-in for transformers: what ``from_pretrained`` needs to load a packed model."""

from __future__ import annotations

from typing import Any

import torch
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from neurosparse.errors import FormatError
from neurosparse.sparse.description import METHOD, check_description, check_names
from neurosparse.sparse.headers import check_hashes, read_headers
from neurosparse.sparse.install import install, linear_names, packed_names
from neurosparse.sparse.ordering import Ordering
from neurosparse.sparse.pages import Forgetting
from neurosparse.sparse.reading import files_handed
from neurosparse.sparse.round_vocabulary import (
    install_vocabulary,
    prepare_vocabulary,
    tie_vocabulary,
)
from neurosparse.sparse.uneven import apply_widths


class NeurosparseConfig(QuantizationConfigMixin):
    """``quantization_config`` of a packed model: the entries of docs/format.md as attributes.

    The hashes of the files are checked when they are read and then forgotten, because
    ``save_pretrained`` writes other files.

    Raises
    ------
    FormatError
        Unknown version, format, kind of values or entry.
    """

    def __init__(self, **entries: Any) -> None:
        entries.setdefault("quant_method", METHOD)
        check_description(entries)
        entries.setdefault("sha256", None)
        entries.setdefault("vocabulary", None)
        entries.setdefault("group", None)
        self.values: str
        self.vocabulary: str | None
        self.group: int | None
        self.sha256: dict[str, str] | None
        vars(self).update(entries)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {name: value for name, value in super().to_dict().items() if value is not None}


class NeurosparseQuantizer(HfQuantizer):
    """Loads, and saves again, what ``neurosparse.sparse.save`` wrote; it packs nothing itself.

    The order of ``from_pretrained``: the model is made on the meta device; here the headers of
    the files tell which modules are packed and how long their values are, and those modules are
    replaced; transformers then reads tensor by tensor (maps the file, where the device is the
    CPU); at the end the row offsets are derived, and on the CPU every linear is put into tile
    order, one after the other, while the pages of its rows go back to the file. Where
    ``sparse.load`` hands over the files (``reading``), packed modules are made of them at once, put
    into order by a thread (``ordering``) and hidden until that end, so that transformers reads the
    rest alone.
    """

    quantization_config: NeurosparseConfig
    requires_calibration = True  # transformers then refuses to "quantize" a dense model

    def _process_model_before_weight_loading(
        self, model: Any, checkpoint_files: list[str] | None = None, **kwargs: Any
    ) -> None:
        config, held = self.quantization_config, files_handed()
        if held is not None:
            files, entries = [str(file) for file in held.files], held.entries
        elif checkpoint_files:
            files = list(checkpoint_files)
            if config.sha256 is not None:
                check_hashes(files, config.sha256)
            entries = read_headers(files)
        else:
            raise FormatError("from_pretrained", found="no checkpoint files",
                              expected="the folder of a packed model")
        check_names(vars(config), packed_names(entries), linear_names(model), where=files[0])
        apply_widths(model)
        self._modules = install(model, entries, config.values, config.group,
                                None if held is None else held.tensor)
        stored = None if config.vocabulary is None else install_vocabulary(model, entries)
        if held is not None:
            self._ordering = Ordering(self._modules, held, stored)
        config.sha256 = None
        self._files = files

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        held, modules, self._modules = files_handed(), self._modules, []
        rounded = self.quantization_config.vocabulary is not None
        if rounded:
            tie_vocabulary(model)
        if held is not None:
            held.meanwhile()
            self._ordering.finish(model.get_output_embeddings())
            del self._ordering  # the quantizer stays with the model
            return model
        forgetting = Forgetting(self._files)
        prepare_vocabulary(model)
        for module in modules:
            module.refresh()
            if module.prepare():  # nothing has been changed yet: the file has these bytes
                forgetting.add(module.bitmap)
                forgetting.add(module.values)
        if rounded:
            forgetting.add(model.get_input_embeddings().weight)
        forgetting.flush()
        return model

    def get_new_dtype(self, converter: Any, param: Any, dtype: torch.dtype | None
                      ) -> torch.dtype | None:
        """``None`` (as stored) for packed tensors; ``dtype`` for the others that are floats.

        transformers' ``_keep_in_fp32_modules`` goes by module name and would catch values too.
        """
        names = getattr(converter, "target_patterns", ())
        if any(name.endswith((".values", ".scales", ".bitmap")) for name in names):
            return None
        found: torch.dtype | None = super().get_new_dtype(converter, param, dtype)
        return found

    def update_weight_conversions(self, weight_conversions: list[Any], model: Any = None
                                  ) -> list[Any]:
        """None: a packed file has the names of the model's own state dict."""
        return []

    def is_serializable(self) -> bool:
        """``save_pretrained`` writes the packed tensors as they are."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Packed values have no gradient."""
        return False
