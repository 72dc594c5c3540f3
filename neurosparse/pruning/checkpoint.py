"""Finished blocks on disk: one safetensors file a block, whole or absent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from neurosparse import kernels
from neurosparse.errors import FormatError, ResumeError
from neurosparse.files import write_whole
from neurosparse.models import Target
from neurosparse.pruning.observe import BlockReport
from neurosparse.sparse import PackedMatrix, pack, unpack

_KINDS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
# A bitmap costs 1 bit an entry, so it pays above 1/16 of zeros in 16-bit values.
_WORTH_PACKING = 1 / 16


class BlockFiles:
    """A ``Keeper`` that writes ``block-00000.safetensors`` ... into a folder.

    Every parameter of the block is stored in its own dtype, bit for bit; matrices with zeros as
    bitmap and values, so that the work folder is no larger than the sparse model.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, index: int) -> Path:
        """File of one block."""
        return self.folder / f"block-{index:05d}.safetensors"

    def has(self, index: int) -> bool:
        """Whether the block was finished."""
        return self.path(index).is_file()

    def keep(self, index: int, block: nn.Module, targets: Sequence[Target],
             report: BlockReport) -> None:
        """Store all parameters of a finished block."""
        tensors: dict[str, torch.Tensor] = {}
        for name, parameter in block.named_parameters():
            value = parameter.detach()
            kind = _KINDS.get(value.dtype)
            zeros = 1 - torch.count_nonzero(value).item() / max(value.numel(), 1)
            if value.ndim < 2 or kind is None or zeros < _WORTH_PACKING:
                tensors[f"{name}|dense"] = value.cpu().contiguous()
                continue
            packed = pack(value.reshape(-1, value.shape[-1]), values=kind)
            tensors[f"{name}|bitmap"], tensors[f"{name}|values"] = packed.bitmap, packed.values
        notes = json.dumps({"dropped": dict(report), "notes": report.notes})
        with write_whole(self.path(index)) as beside:
            save_file(tensors, beside, metadata={"report": notes})

    def put_back(self, index: int, block: nn.Module, targets: Sequence[Target]) -> BlockReport:
        """Set every parameter of a block to the stored one.

        Raises
        ------
        FormatError
            The file is damaged.
        ResumeError
            It belongs to another model.
        """
        path = self.path(index)
        try:
            with safe_open(path, framework="pt") as file, torch.no_grad():
                keys = set(file.keys())
                known = {key.rsplit("|", 1)[0] for key in keys}
                parameters = dict(block.named_parameters())
                if known != set(parameters):
                    raise ResumeError(f"resume from {path}", found="other parameters",
                                      expected="those of the model")
                for name, parameter in parameters.items():
                    parameter.copy_(_read(file, keys, name, parameter))
                report = json.loads(file.metadata()["report"])
        except ResumeError:
            raise
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise FormatError(f"resume from {path}", found=str(error), expected="a finished block",
                              mend="Delete the file to prune that block again.") from error
        return BlockReport(report["dropped"], report["notes"])


def _read(file: safe_open, keys: set[str], name: str, like: torch.Tensor) -> torch.Tensor:
    tensors: dict[str, torch.Tensor] = {
        part: file.get_tensor(f"{name}|{part}")  # type: ignore[no-untyped-call]
        for part in ("dense", "bitmap", "values") if f"{name}|{part}" in keys
    }
    if "dense" in tensors:
        return tensors["dense"]
    shape = (like.numel() // like.shape[-1], like.shape[-1])
    bitmap, values = tensors["bitmap"], tensors["values"]
    nnz = int(kernels.row_offsets(bitmap.numpy())[-1])
    packed = PackedMatrix(bitmap, values, None, shape, nnz)
    return unpack(packed, dtype=like.dtype).reshape(like.shape)
