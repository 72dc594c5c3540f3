"""Mutate packed folders and load them: an error of ours or a model that multiplies, never a crash.

    python tests/sparse/fuzz_packed.py --cases 100000 [--seed N]     a soak
    python tests/sparse/fuzz_packed.py --cases 300 --whole 1         every case as a whole model
    python tests/sparse/fuzz_packed.py --case N                      one case again, in this process

Case N is one mutation of a tiny model, drawn by the seed N: packed in our format (every kind of
values) or as sparse-bitmask. It goes through our readers (``fuzz_reading``); every ``--whole``-th
is loaded as a model with transformers as well. Matrices that were accepted must agree with the
reader of docs/format.md and with their own dense form. Batches run in child processes; one that
dies, hangs or raises what is no ``NeurosparseError`` is reported with its case, and the exit code
is 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

BATCH, PATIENCE, WHOLE = 2500, 120.0, 100
_MEMORY = Path("/dev/shm")


def child(first: int, last: int, bases: Path, whole: int) -> int:
    """Run some cases, naming each before it begins."""
    import torch
    from fuzz_mutations import mutate, read_bases
    from fuzz_reading import Readers

    from neurosparse.sparse import load

    faulthandler.enable()
    torch.set_num_threads(1)
    for kind in ("int8", "sparse-bitmask"):  # imports what there is to import
        load(bases / kind)
    files, wrong = read_bases(bases), 0
    with tempfile.TemporaryDirectory(dir=bases) as place, torch.inference_mode():
        readers = Readers(bases, files, Path(place))
        for case in range(first, last):
            print("case", case, flush=True)
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            try:
                print(readers.try_case(case, *mutate(case, files), whole=case % whole == 0),
                      flush=True)
            except Exception as error:
                wrong += 1
                line = str(error).strip().splitlines()[:1]
                print("WRONG", case, type(error).__name__, *line, flush=True)
                traceback.print_exc()
        faulthandler.cancel_dump_traceback_later()
    return int(wrong > 0)


def parent(seed: int, cases: int, bases: Path, whole: int) -> int:
    """Run batches in children; after one that died go on behind the case that killed it."""
    counts = {"refused": 0, "loaded": 0}
    wrong: list[int] = []
    first = seed
    while first < seed + cases:
        last = min(first + BATCH, seed + cases)
        command = [sys.executable, __file__, "--child", str(first), str(last), str(bases),
                   "--whole", str(whole)]
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
        print(f"{first - seed} cases so far: {counts}", file=sys.stderr, flush=True)
    print(f"{cases} cases from {seed}: {counts['refused']} refused, {counts['loaded']} loaded, "
          f"{len(wrong)} wrong {wrong[:20]}")
    return int(bool(wrong))


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", type=int, default=WHOLE,
                        help="every so manieth case is loaded as a model (100)")
    parser.add_argument("--case", type=int)
    parser.add_argument("--child", nargs=3)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    whole = max(arguments.whole, 1)
    if arguments.child:
        first, last, bases = arguments.child
        return child(int(first), int(last), Path(bases), whole)
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        from fuzz_mutations import make_bases

        make_bases(Path(folder))
        if arguments.case is not None:
            return child(arguments.case, arguments.case + 1, Path(folder), whole)
        return parent(arguments.seed, arguments.cases, Path(folder), whole)


if __name__ == "__main__":
    sys.exit(main())
