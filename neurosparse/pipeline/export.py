"""Write the pruned model dense, zeros and all: for everybody who has no sparse run time."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from neurosparse.files import write_whole_folder
from neurosparse.models import LoadedModel, find_blocks
from neurosparse.pipeline.stages import finished_block
from neurosparse.pipeline.work import Work
from neurosparse.progress import Progress
from neurosparse.pruning import BlockFiles
from neurosparse.sparse.kinds import find_kind


def export_dense(loaded: LoadedModel, work: Work, values: str, progress: Progress) -> None:
    """Folder ``dense``: one shard a block and one for the rest, loadable by transformers alone.

    Names are those of the model in memory, which transformers accepts beside the names of its
    hub (fused experts stay fused).

    Parameters
    ----------
    values
        Kind of the packed values; it decides the dtype as it does in the packed file.
    """
    dtype = find_kind(values).dense
    model, blocks = loaded.model, find_blocks(loaded.model)
    with write_whole_folder(work.path("dense")) as folder:
        where: dict[str, str] = {}
        for index, name in enumerate(blocks.names):
            with finished_block(model, index, BlockFiles(work.path("blocks"))) as block:
                state = {f"{name}.{key}": value for key, value in block.state_dict().items()}
                _shard(folder, f"model-block-{index:05d}.safetensors", state, dtype, where)
            progress("export dense", index + 1, len(blocks))
        rest = {key: value for key, value in model.state_dict().items()
                if not key.startswith(tuple(f"{name}." for name in blocks.names))}
        for tied in getattr(model, "all_tied_weights_keys", None) or {}:
            rest.pop(tied, None)
        _shard(folder, "model-rest.safetensors", rest, dtype, where)
        index_file = {"metadata": {}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index_file, indent=1))
        config: Any = copy.deepcopy(model.config)
        config.dtype = str(dtype).removeprefix("torch.")
        config.save_pretrained(folder)
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        if loaded.tokenizer is not None:
            loaded.tokenizer.save_pretrained(folder)


def _shard(folder: Path, file: str, state: dict[str, torch.Tensor], dtype: torch.dtype,
           where: dict[str, str]) -> None:
    tensors = {
        name: value.detach().cpu().to(dtype if value.is_floating_point() else value.dtype)
        .contiguous().clone()
        for name, value in state.items()
    }
    save_file(tensors, folder / file, metadata={"format": "pt"})
    where.update(dict.fromkeys(tensors, file))
