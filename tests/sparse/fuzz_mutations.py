"""The mutations of ``fuzz_packed.py``, and the small folders that they begin from."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

WEIGHTS, CONFIG = "model.safetensors", "config.json"
KINDS = ("bf16", "fp16", "fp32", "int8", "int4", "int8-32", "sparse-bitmask")
NUMBERS = (-1, 0, 1, 7, 8, 63, 64, 65, 255, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**64, 1e308)


def make_bases(folder: Path) -> None:
    """One small model of every kind, without hashes, so that readers see what was changed."""
    import old_bitmask
    from sparse_cases import build

    from neurosparse.sparse import save

    for kind in KINDS:
        if kind == "sparse-bitmask":
            old_bitmask.write(build("llama"), folder / kind)
            continue
        name, _, group = kind.partition("-")
        save(build("llama"), folder / kind, values=name, group_size=int(group) if group else None)
        config = json.loads((folder / kind / CONFIG).read_text())
        del config["quantization_config"]["sha256"]
        (folder / kind / CONFIG).write_text(json.dumps(config))


def flip(data: bytes, dice: random.Random) -> bytes:
    """A few bytes are others."""
    out = bytearray(data)
    limit = dice.choice((8, 16, 4000, len(out)))
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        out[dice.randrange(min(limit, len(out)))] = dice.choice((0, 255, dice.randrange(256)))
    return bytes(out)


def resize(data: bytes, dice: random.Random) -> bytes:
    """A piece is cut out, repeated, or the end is missing."""
    a, b = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    return dice.choice((data[:a], data[:a] + data[b:], data[:b] + data[a:],
                        data + bytes(dice.randrange(100))))


def header(data: bytes, dice: random.Random) -> bytes:
    """One entry of the header says something else; the length of the header fits."""
    length = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8 : 8 + length])
    name = dice.choice([key for key in head if key != "__metadata__"])
    entry = head[name]
    what = dice.choice(("dtype", "shape", "data_offsets", "name", "gone", "odd"))
    if what == "dtype":
        entry["dtype"] = dice.choice(("U8", "I8", "F32", "BF16", "F16", "I64", "F8_E4M3", "", 3))
    elif what in ("shape", "data_offsets"):
        numbers = entry[what]
        numbers[dice.randrange(len(numbers))] = dice.choice(
            (*NUMBERS, dice.randrange(10_000), numbers[0] + 1, numbers[-1] - 1))
    elif what == "name":
        head[dice.choice(list(head))] = head.pop(name)
    elif what == "gone":
        del head[name]
    else:
        head[name] = dice.choice((None, [], {}, "x", {"dtype": "U8"}))
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def contents(data: bytes, dice: random.Random) -> bytes:
    """A file that is whole, with another tensor in it."""
    import torch
    from safetensors.torch import load, save

    tensors: dict[str, Any] = load(data)
    name = dice.choice([key for key in tensors if key.count(".") > 4])
    tensor = tensors[name]
    way = dice.randrange(6)
    if way == 0:
        tensor.view(-1)[dice.randrange(tensor.numel())] = dice.choice((0, 1, 127))
    elif way == 1 and tensor.is_floating_point():
        tensor.view(-1)[dice.randrange(tensor.numel())] = dice.choice((torch.nan, torch.inf, -1e30))
    elif way == 2:
        tensors[name] = tensor[: dice.randrange(len(tensor) + 1)].clone()
    elif way == 3:
        tensors[name] = torch.cat([tensor, tensor[: dice.randrange(len(tensor) + 1)]])
    elif way == 4:
        raw = tensor.view(-1).view(torch.uint8)
        raw[dice.randrange(raw.numel()) :].fill_(dice.randrange(256))
    else:
        tensors[name] = dice.choice((tensor[None].clone(), tensor.view(-1).clone(),
                                     tensor.to(torch.int64), tensor.new_zeros(0)))
    return save(tensors, {"format": "pt"})


def description(data: bytes, dice: random.Random) -> bytes:
    """Another word in the part of ``config.json`` that is about packing."""
    config = json.loads(data)
    held: Any = config["quantization_config"]
    if "sparsity_config" in held and dice.random() < 0.7:
        held = held["sparsity_config"]
    key = dice.choice([*held, "more"])
    odd = (None, True, -1, 2**70, 2, 32, 128, "", "bf16", "int8", "int4",
           "sparse-bitmask", [], [0], {}, {"x": 1},
           "model.layers.[0-99999].a", ["a.[0-3].b"], ["[9-0]"])
    held[key] = dice.choice(odd)
    return json.dumps(config).encode()


def mutate(case: int, bases: dict[str, dict[str, bytes]]) -> tuple[str, dict[str, bytes]]:
    """Kind of one case, and its two files by their names, one of them changed.

    Parameters
    ----------
    bases
        The two files of every kind.
    """
    dice = random.Random(case)
    kind = KINDS[case % len(KINDS)]
    which = dice.choice((flip, resize, header, header, contents, contents, description, flip))
    name = CONFIG if which is description or dice.random() < 0.05 else WEIGHTS
    way = flip if name == CONFIG and which is not description else which
    return kind, {**bases[kind], name: way(bases[kind][name], dice)}


def read_bases(folder: Path) -> dict[str, dict[str, bytes]]:
    """The bytes of what ``make_bases`` wrote."""
    return {kind: {name: (folder / kind / name).read_bytes() for name in (WEIGHTS, CONFIG)}
            for kind in KINDS}
