"""Our readers on the files of one case, without the rest of a model: some milliseconds a case.

What transformers does (building classes, norms, embeddings) is left out; the description, headers,
shapes, bits, values and scales go through the code that ``sparse.load`` runs. A matrix whose bytes
are those of the base gives the base's products; all others are multiplied, and must agree with
themselves: the dense form with the reader of docs/format.md, the products with the dense form.
"""

from __future__ import annotations

import contextlib
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_mutations import WEIGHTS

from neurosparse.errors import FormatError, NeurosparseError
from neurosparse.models import load_empty
from neurosparse.sparse import SparseLinear, load
from neurosparse.sparse.bitmask import _check_config, _kind, is_bitmask
from neurosparse.sparse.bitmask_tensors import PARTS, BitmaskReader, read_matrix
from neurosparse.sparse.description import check_names, read_description
from neurosparse.sparse.headers import Entry, read_headers
from neurosparse.sparse.install import install, linear_names, packed_names
from neurosparse.sparse.quantizer import NeurosparseConfig
from neurosparse.sparse.reading import PackedFiles
from neurosparse.sparse.round_vocabulary import install_vocabulary

_PAGE = Path(__file__).parents[2] / "docs" / "format.md"
# Of sum |w| |x| a row, where |x| is 1 everywhere; bounds are in ``neurosparse.tiles``.
_BOUND = 2.0**-14


def page_reader() -> Any:
    """The reader in twenty lines, as the page of the format has it."""
    block = next(block for block in re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.S)
                 if "def read_packed" in block)
    space: dict[str, Any] = {}
    exec(block, space)  # our own page
    return space["read_packed"]


class Readers:
    """The readers, with what they need of the bases.

    Parameters
    ----------
    bases
        Folder of ``make_bases``.
    files
        Bytes of its files.
    place
        Folder in which the files of a case are written, one case over the other.
    """

    def __init__(self, bases: Path, files: dict[str, dict[str, bytes]], place: Path) -> None:
        self.place, self.page = place, page_reader()
        self._empty = {kind: load_empty(bases / kind) for kind in files}
        self._parts = {kind: self._bytes(read_headers([bases / kind / WEIGHTS]),
                                         files[kind][WEIGHTS]) for kind in files}
        signs = torch.tensor([1.0, -1.0]).repeat(4096)
        self._x = torch.stack([signs.roll(i // 3) * (-1) ** (i % 3) for i in range(20)])

    @staticmethod
    def _bytes(entries: dict[str, Entry], data: bytes) -> dict[str, tuple[Any, ...]]:
        """What every tensor is made of."""
        return {name: (entry.dtype, entry.shape, data[entry.begin : entry.begin + _size(entry)])
                for name, entry in entries.items()}

    def try_case(self, case: int, kind: str, files: dict[str, bytes], *, whole: bool) -> str:
        """``"refused"`` or ``"loaded"``.

        Parameters
        ----------
        whole
            Load the folder as a model, too; every packed linear is then multiplied.

        Raises
        ------
        Exception
            Anything that is no error of ours, and answers that do not agree.
        """
        for name, data in files.items():
            (self.place / name).write_bytes(data)
        try:
            if whole:
                self._multiply([m for m in load(self.place).modules()
                                if isinstance(m, SparseLinear)])
            elif is_bitmask(self.place):
                self._bitmask(case, kind, files[WEIGHTS])
            else:
                self._packed(case, kind, files[WEIGHTS])
        except NeurosparseError:
            return "refused"
        return "loaded"

    def _changed(self, case: int, kind: str, names: list[str], parts: tuple[str, ...],
                 entries: dict[str, Entry], data: bytes) -> list[str]:
        """Matrices that are not the base's, and one more."""
        now, base = self._bytes(entries, data), self._parts[kind]
        chosen = {name for name in names
                  if any(now.get(f"{name}.{part}") != base.get(f"{name}.{part}") for part in parts)}
        return sorted(chosen | set(random.Random(case).choices(names, k=min(1, len(names)))))

    def _packed(self, case: int, kind: str, data: bytes) -> None:
        packing = NeurosparseConfig(**read_description(self.place))
        with PackedFiles([self.place / WEIGHTS], packing.sha256) as held:
            held.read()
            names = packed_names(held.entries)
            model = self._empty[kind]
            check_names(vars(packing), names, linear_names(model), where=str(self.place))
            with _restored(model):
                modules = install(model, held.entries, packing.values, packing.group, held.tensor)
                if packing.vocabulary is not None:
                    install_vocabulary(model, held.entries)
                _check_rest(held.others(), model)
                changed = self._changed(case, kind, names, ("bitmap", "values", "scales"),
                                        held.entries, data)
                chosen = [m for name, m in zip(names, modules, strict=True) if name in changed]
                self._multiply(chosen)
                for name, module in zip(changed, chosen, strict=True):
                    with np.errstate(invalid="ignore", over="ignore"):
                        wanted = self.page(self.place / WEIGHTS, name, packing.group)
                    np.testing.assert_array_equal(module.to_dense().numpy(),
                                                  wanted[:, : module.cols])

    def _bitmask(self, case: int, kind: str, data: bytes) -> None:
        _check_config(self.place)
        entries = read_headers([self.place / WEIGHTS])
        names = sorted(name.removesuffix(".bitmask") for name in entries
                       if name.endswith(".bitmask"))
        _kind(entries, names)
        model, reader = self._empty[kind], BitmaskReader(self.place, entries)
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        for name in self._changed(case, kind, names, PARTS, entries, data):
            dense, keep = read_matrix(reader, name, shapes.get(f"{name}.weight"))
            values = reader.tensor(f"{name}.compressed")
            assert torch.equal(dense[keep].nan_to_num(), values.nan_to_num())
            assert not dense[~keep].any()
        inside = {f"{name}.{part}" for name in names for part in PARTS}
        _check_rest({name: reader.tensor(name) for name in set(entries) - inside}, model)

    def _multiply(self, modules: list[Any]) -> None:
        """Products of few and of many rows, and the dense form, agree."""
        for module in modules:
            dense = module.to_dense().double()
            few, many = self._x[:1, : module.cols], self._x[:, : module.cols]
            sizes = dense.abs().sum(1)
            good = torch.isfinite(sizes) & (sizes < 1e30)
            for x in (few, many):
                out, wanted = module(x), x.double() @ dense.T
                assert out.shape == (len(x), module.rows)
                float(out.sum())  # every entry is read; nan is an answer
                off = (out.double() - wanted).abs() - _BOUND * sizes - 1e-30
                assert not bool((off[:, good] > 0).any()), "a product that is not the dense one's"


def _size(entry: Entry) -> int:
    return int(np.prod(entry.shape, dtype=np.int64)) * entry.dtype.itemsize


@contextlib.contextmanager
def _restored(model: Any) -> Any:
    """The skeleton as it was, after modules were replaced."""
    before = [(module, dict(module._modules), vars(module).get("_is_hf_initialized"))
              for module in model.modules()]
    try:
        yield
    finally:
        for module, children, mark in before:
            module._modules.update(children)
            if mark is None:
                vars(module).pop("_is_hf_initialized", None)


def _check_rest(found: dict[str, torch.Tensor], model: Any) -> None:
    """As transformers does: every other tensor has a place of its shape."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    wrong = [name for name, tensor in found.items() if shapes.get(name) != tensor.shape]
    if wrong:
        raise FormatError("load", found=wrong[0], expected="the model's own tensors")

