"""What the scripts of this folder share: the card and its ceilings, times, errors, one table.

A script has ``measure(where)``, which gives rows, and ends with ``script(measure, __doc__)``. Bytes
and operations are counted before anything runs (``Where.floor``); what is measured stands beside
them. Without a card a script says so and ends with 2; ``--small`` runs the same lines on whatever
there is, on shapes that a CPU does in seconds, so that everything but the time is tested.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import torch

PACKAGES = ("torch", "triton", "transformers", "peft", "numpy", "neurosparse")
GIB = float(1 << 30)


@dataclass
class Row:
    """One line of the table.

    Attributes
    ----------
    what
        The case, in words.
    ours, unit
        What was measured.
    against
        The peer's, in the same unit.
    floor
        What the counted bytes and operations take at the card's measured ceilings.
    goal, met
        What issue 9 asks for, in words, and whether it is so.
    error
        Relative to float64.
    notes
        Whatever else was found.
    """

    what: str
    ours: float
    unit: str
    against: float | None = None
    floor: float | None = None
    goal: str = ""
    met: bool | None = None
    error: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times the peer takes."""
        return None if self.against is None or not self.ours else self.against / self.ours

    def text(self) -> str:
        """The line."""
        verdict = {True: "reached", False: "MISSED", None: ""}[self.met]
        share = None if self.floor is None or not self.ours else self.floor / self.ours
        cells = [_number(self.ours), f"{self.unit:<6}", _number(self.against), _number(self.ratio),
                 _number(self.floor), "" if share is None else f"{share:.0%}",
                 "" if self.error is None else f"{self.error:.1e}"]
        widths = (10, 6, 10, 8, 10, 7, 9)
        line = "".join(f"{cell:>{width}} " for cell, width in zip(cells, widths, strict=True))
        return f"{self.what:<58}{line} {self.goal} {verdict}".rstrip()


HEAD = (f"{'':<58}{'ours':>10} {'unit':<6} {'against':>10} {'times':>8} {'floor':>10} "
        f"{'of it':>7} {'error':>9}  goal")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


class Where:
    """The device, its size of problem, and its ceilings, measured when first asked for."""

    def __init__(self, *, small: bool = False) -> None:
        self.small = small
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def on_card(self) -> bool:
        """Whether there is one."""
        return self.device.type == "cuda"

    @property
    def card(self) -> str:
        """Its name."""
        return torch.cuda.get_device_name() if self.on_card else platform.processor() or "CPU"

    @property
    def cache(self) -> int:
        """Bytes of its L2."""
        if not self.on_card:
            return 1 << 12
        return int(getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 64 << 20))

    @cached_property
    def bandwidth(self) -> float:
        """Bytes read and written a second by a large copy."""
        count = 1 << (16 if self.small else 29)
        source = torch.randn(count // 4, device=self.device)
        into = torch.empty_like(source)
        return 2 * source.nbytes / self.time(lambda: into.copy_(source), turns=20)

    @cached_property
    def _rates(self) -> dict[torch.dtype, float]:
        return {}

    def rate(self, dtype: torch.dtype = torch.bfloat16) -> float:
        """Operations a second of a large product of random matrices."""
        if dtype not in self._rates:
            n = 64 if self.small else 8192 if dtype.itemsize == 2 else 4096
            left, right = (torch.randn(n, n, device=self.device, dtype=dtype) for _ in range(2))
            self._rates[dtype] = 2 * n**3 / self.time(lambda: left @ right, turns=10)
        return self._rates[dtype]

    def floor(self, *, moved: float = 0.0, operations: float = 0.0,
              dtype: torch.dtype = torch.bfloat16) -> float:
        """Seconds below which no version can be: the larger of the two."""
        return max(moved / self.bandwidth, operations / self.rate(dtype) if operations else 0.0)

    def settle(self) -> None:
        """Wait for the card."""
        if self.on_card:
            torch.cuda.synchronize()

    def clock(self, call: Callable[[], Any]) -> float:
        """Seconds of one call, by the card's own events."""
        if not self.on_card:
            begin = time.perf_counter()
            call()
            return time.perf_counter() - begin
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def time(self, call: Callable[[], Any], *, turns: int, warm: int = 3) -> float:
        """Median seconds of a call."""
        return self.turns({"": call}, turns=turns, warm=warm)[""]

    def turns(self, calls: dict[str, Callable[[], Any]], *, turns: int, warm: int = 3
              ) -> dict[str, float]:
        """Median seconds of each of some calls that take turns, so that all see the same card."""
        turns, warm = (2, 1) if self.small else (turns, warm)
        found: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(turns + warm):
            for name, call in calls.items():
                seconds = self.clock(call)
                if turn >= warm:
                    found[name].append(seconds)
        return {name: median(times) for name, times in found.items()}

    def once(self, call: Callable[[], Any]) -> tuple[float, float, Any]:
        """Wall seconds, greatest memory of the card in GiB, and the answer of one long call."""
        if self.on_card:
            torch.cuda.reset_peak_memory_stats()
        self.settle()
        begin = time.perf_counter()
        made = call()
        self.settle()
        seconds = time.perf_counter() - begin
        peak = torch.cuda.max_memory_allocated() / GIB if self.on_card else 0.0
        return seconds, peak, made


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """``|found - exact| / |exact|`` in float64; infinite where something is not a number."""
    value = float((found.double() - exact).norm() / exact.norm())
    return value if value == value else float("inf")


def free(where: Where) -> None:
    """Give memory back between two cases."""
    import gc

    gc.collect()
    if where.on_card:
        torch.cuda.empty_cache()


def versions() -> dict[str, str]:
    """Of what was measured with."""
    found = {"python": platform.python_version(), "cuda": str(torch.version.cuda)}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def header(where: Where) -> str:
    """Card and versions."""
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{where.card}{' (small shapes: no result)' if where.small else ''}\n{told}\n{HEAD}"


def as_json(where: Where, rows: Sequence[Row]) -> dict[str, Any]:
    """What a script writes."""
    ceilings = {"bytes_per_s": where.bandwidth,
                "flops_per_s": {str(dtype).removeprefix("torch."): rate
                                for dtype, rate in where._rates.items()}}
    return {"card": where.card, "small": where.small, "versions": versions(), "ceilings": ceilings,
            "rows": [{**asdict(row), "times": row.ratio} for row in rows]}


def no_card() -> str:
    """Why nothing can be measured here, or nothing."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda or torch.version.hip:
        return "no CUDA device"
    return (f"torch {torch.__version__} is built without CUDA: install the build for your card "
            "from pytorch.org")


def script(measure: Callable[[Where], list[Row]], about: str | None,
           arguments: list[str] | None = None) -> int:
    """Parse, measure, print the table, write the file; 2 where there is no card."""
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("--small", action="store_true",
                        help="tiny shapes, on the CPU if there is no card: no result, a test")
    parser.add_argument("--out", type=Path, help="also write the figures here, as JSON")
    options = parser.parse_args(arguments)
    if (reason := no_card()) and not options.small:
        print(f"found {reason}; expected a CUDA card. --small runs the same lines without one.",
              file=sys.stderr)
        return 2
    where = Where(small=options.small)
    print(header(where), flush=True)
    rows = measure(where)
    for row in rows:
        row.met = None if where.small else row.met  # tiny shapes reach nothing and miss nothing
        print(row.text(), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(as_json(where, rows), indent=1))
    return 0
