"""Our packed products and our decoder against others' on the same weights, in one run.

    python benchmarks/peers/setup.py        # once: an environment for each peer
    python benchmarks/bench_peers.py [--quick] [--groups decode ...] [--blocks N] [--rounds 8]
        [--threads 2] [--json FILE]

Blocks of Llama-2-7B's shape, 70 % of the weights zero at random places, batch 1. *Stack*: the
matrices of the blocks with the least between them (``peers.stack``), ours packed and dense, torch's
and OpenVINO's dense, DeepSparse's pruned. *Decode*: whole blocks with attention over a full cache
of 128 tokens, our core loop against llama.cpp.

Every peer is a process in an environment of its own and holds its weights all the time; the cases
of a group take turns, the others asleep, and memory's speed is probed between any two turns. Times
are medians over calls, ratios are of one round and one mode of memory, medians over rounds. What a
peer computes is compared with NumPy's float32 on the same weights, or on those that its format
makes of them; a case that is off by more than rounding explains has no ratio. A peer that does not
install, or fails, is a line that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from peers import llama, questions, setup, stack
from peers.gguf_model import Rounded
from peers.gguf_model import write as write_gguf
from peers.process import PeerFailed, Worker
from peers.report import record, show
from peers.turns import Row, take_turns
from peers.weights import Shape, Weights

from neurosparse import kernels
from neurosparse.measure import ReadProbe

# As 12 GB of memory allow, where OpenVINO holds weights twice. Of a case with fewer weights than
# twice the last cache, several copies are called in turn; llama.cpp has one, so more blocks.
BLOCKS = {"stack, 16 bits": 3, "stack, 8 bits": 3, "stack, 32 bits": 2, "decode": 10}


class Bench:
    """One run: folder of weights, options, and the processes of the group in progress."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        shape = Shape(512, 1408) if options.quick else Shape()
        folder = setup.BUILD / f"weights-{shape.width}-{shape.inner}"
        self.weights = Weights(folder, shape)
        self.stream = 0 if options.quick else max(1 << 28, 2 * last_cache())
        self.logs = setup.BUILD / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.workers: dict[str, Worker | PeerFailed] = {}
        self.probe = ReadProbe((32 << 20) if options.quick else 1 << 30)

    def run_group(self, group: str) -> list[Row]:
        """Build its cases, let them take turns, end their processes."""
        blocks = 2 if self.options.quick else self.options.blocks or BLOCKS[group]
        rows = [Row(group, peer, case, blocks) for peer, case in questions.GROUPS[group]]
        try:
            for row, wanted in zip(rows, self._wanted(group, blocks, rows), strict=True):
                self._make(row, wanted)
            take_turns(rows, self._run, self.probe.read, self.options.rounds)
        finally:
            for worker in self.workers.values():
                if isinstance(worker, Worker):
                    worker.close()
            self.workers.clear()
        return rows

    def _wanted(self, group: str, blocks: int, rows: list[Row]) -> list[Any]:
        """What each row must compute, and the files that its worker reads."""
        if group != "decode":
            outputs, largest = stack.reference(self.weights, blocks)
            (self.weights.folder / "largest.json").write_text(json.dumps(largest))
            return [outputs[-1]] * len(rows)
        text = llama.tokens(llama.CHECKED)
        plain = llama.reference(self.weights, blocks, text)
        found = {}
        for kind in ("Q8_0", "Q4_0"):
            if setup.why_not("llama_cpp") is None:
                rounded = Rounded(self.weights, kind)
                found[kind] = llama.reference(rounded, blocks, text)
                path = self.weights.folder / f"{kind}-{blocks}.gguf"
                if not path.exists():
                    write_gguf(path, rounded, blocks)
        return [found.get(row.case.partition(",")[0], plain) for row in rows]

    def _worker(self, peer: str, blocks: int) -> Worker:
        if peer not in self.workers:
            self.workers[peer] = self._start(peer, blocks)
        worker = self.workers[peer]
        if isinstance(worker, PeerFailed):
            raise worker
        return worker

    def _start(self, peer: str, blocks: int) -> Worker | PeerFailed:
        home = peer in questions.AT_HOME
        why = None if home else setup.why_not(peer)
        if why is not None:
            return PeerFailed(why)
        shape = self.weights.shape
        told = {"folder": str(self.weights.folder), "width": shape.width, "inner": shape.inner,
                "blocks": blocks, "threads": self.options.threads, "stream": self.stream}
        module = questions.MODULES[peer]
        try:
            return Worker(sys.executable if home else setup.python_of(peer), module, told,
                          self.logs / f"{module}.log")
        except PeerFailed as error:
            return error

    def _make(self, row: Row, wanted: Any) -> None:
        """Build a case and compare what it computes."""
        print(f"  {row.group}: building {row.name}", file=sys.stderr, flush=True)
        out = self.logs / "output.npy"
        try:
            worker = self._worker(row.peer, row.blocks)
            row.version = worker.version
            said = worker.ask({"do": "make", "case": row.case, "out": str(out)}, 400)
        except PeerFailed as error:
            row.failed = str(error)
            return
        row.nbytes, row.note = said["nbytes"], said["note"]
        row.made, row.held = said["made"], said["held"]
        if said["checked"]:
            found = np.load(out).reshape(-1)
            row.error = float(np.linalg.norm(found - wanted.reshape(-1)) / np.linalg.norm(wanted))
            row.wrong = not row.error <= questions.limit(row.peer, row.case)

    def _run(self, row: Row) -> float:
        try:
            worker = self._worker(row.peer, row.blocks)
            said = worker.ask({"do": "run", "case": row.case, "calls": self.options.calls}, 120)
        except PeerFailed as error:
            row.failed = str(error)
            return 0.0
        return float(median(said["seconds"]))


def last_cache() -> int:
    """Bytes of the largest cache that this machine says it has, 0 where it says nothing."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text(encoding="utf-8").strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KM")) * unit)
    return max(sizes)


def main() -> None:
    """Run the groups, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.
                                     RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small blocks, few rounds")
    parser.add_argument("--groups", nargs="+", default=list(questions.GROUPS),
                        choices=list(questions.GROUPS))
    parser.add_argument("--blocks", type=int, help="in every group")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--calls", type=int, default=5, help="of a turn")
    parser.add_argument("--threads", type=int, default=kernels.threads())
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    if options.quick:
        options.rounds = min(options.rounds, 3)
    os.environ.pop("NEUROSPARSE_CPU_LEVEL", None)
    torch.set_num_threads(options.threads)
    kernels.set_threads(options.threads)
    bench, rows, load = Bench(options), [], []
    for group in options.groups:
        rows += bench.run_group(group)
        load.append(os.getloadavg()[0] / len(os.sched_getaffinity(0)))
        found = record(rows, options.threads, bench.weights, last_cache(), load)
        if options.json:
            Path(options.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    show(found)


if __name__ == "__main__":
    main()
