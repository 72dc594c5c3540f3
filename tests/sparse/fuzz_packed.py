"""Mutate packed folders and load them: an error of ours or a model that multiplies, never a crash.

    python tests/sparse/fuzz_packed.py --cases 100000 [--seed N]     a soak, about 15 cases a second
    python tests/sparse/fuzz_packed.py --case N                      one case again, in this process

Case N is one mutation of a tiny model, drawn by the seed N: packed in our format (every kind of
values) or as sparse-bitmask. Batches run in child processes; one that dies, hangs or raises what
is no ``NeurosparseError`` is reported with its case, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

WEIGHTS, CONFIG = "model.safetensors", "config.json"
KINDS = ("bf16", "fp16", "fp32", "int8", "int4", "int8-32", "sparse-bitmask")
BATCH, PATIENCE = 250, 60.0
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


def mutate(case: int, bases: Path, folder: Path) -> None:
    """Make the folder of one case."""
    dice = random.Random(case)
    shutil.copytree(bases / KINDS[case % len(KINDS)], folder)
    which = dice.choice((flip, resize, header, header, contents, contents, description, flip))
    name = CONFIG if which is description or dice.random() < 0.05 else WEIGHTS
    way = flip if name == CONFIG and which is not description else which
    (folder / name).write_bytes(way((folder / name).read_bytes(), dice))


def try_case(case: int, bases: Path) -> str:
    """``"refused"`` or ``"loaded"``.

    Raises
    ------
    Exception
        Anything that is no error of ours.
    """
    import torch

    from neurosparse.errors import NeurosparseError
    from neurosparse.sparse import SparseLinear, load

    with tempfile.TemporaryDirectory() as beside:
        mutate(case, bases, Path(beside) / "m")
        try:
            model = load(Path(beside) / "m")
        except NeurosparseError:
            return "refused"
        for module in model.modules():
            if isinstance(module, SparseLinear):
                x = torch.ones(1, module.in_features)
                for out in (module(x), module(x.expand(20, -1)), module.to_dense()):
                    assert out.shape[-1] in (module.out_features, module.in_features)
                    float(out.sum())  # every entry is read; nan is an answer
        return "loaded"


def child(first: int, last: int, bases: Path) -> int:
    """Run some cases, naming each before it begins."""
    import torch

    from neurosparse.sparse import load

    faulthandler.enable()
    torch.set_num_threads(1)
    for kind in ("int8", "sparse-bitmask"):  # imports what there is to import
        load(bases / kind)
    wrong = 0
    for case in range(first, last):
        print("case", case, flush=True)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            print(try_case(case, bases), flush=True)
        except Exception as error:
            wrong += 1
            line = str(error).strip().splitlines()[:1]
            print("WRONG", case, type(error).__name__, *line, flush=True)
            traceback.print_exc()
    faulthandler.cancel_dump_traceback_later()
    return int(wrong > 0)


def parent(seed: int, cases: int, bases: Path) -> int:
    """Run batches in children; after one that died go on behind the case that killed it."""
    counts = {"refused": 0, "loaded": 0}
    wrong: list[int] = []
    first = seed
    while first < seed + cases:
        last = min(first + BATCH, seed + cases)
        command = [sys.executable, __file__, "--child", str(first), str(last), str(bases)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        for answer in counts:
            counts[answer] += lines.count(answer)
        begun = [int(line.split()[1]) for line in lines if line.startswith("case ")]
        bad = [int(line.split()[1]) for line in lines if line.startswith("WRONG")]
        if done.returncode not in (0, 1) or (done.returncode and not bad):
            bad.append(begun[-1] if begun else first)
            last = bad[-1] + 1
        if bad:
            print(*(line for line in lines if line.startswith("WRONG")), sep="\n")
            print(f"cases {bad}, exit {done.returncode}\n{done.stderr[-3000:]}", flush=True)
        wrong += bad
        first = last
    print(f"{cases} cases from {seed}: {counts['refused']} refused, {counts['loaded']} loaded, "
          f"{len(wrong)} wrong {wrong[:20]}")
    return int(bool(wrong))


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--child", nargs=3)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if arguments.child:
        return child(*map(int, arguments.child[:2]), Path(arguments.child[2]))
    with tempfile.TemporaryDirectory() as bases:
        make_bases(Path(bases))
        if arguments.case is not None:
            print(try_case(arguments.case, Path(bases)))
            return 0
        return parent(arguments.seed, arguments.cases, Path(bases))


if __name__ == "__main__":
    sys.exit(main())
