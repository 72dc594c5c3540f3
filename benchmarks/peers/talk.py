"""The worker's side: JSON lines in, JSON lines out.

``{"do": "make", "case": NAME, "out": FILE}`` builds a case and saves what it computes;
``{"do": "run", "case": NAME, "calls": N}`` answers with the seconds of N calls.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Case:
    """Something to time.

    Attributes
    ----------
    call
        Once: one token.
    result
        What it computed, to compare with others; None where there is nothing to compare.
    nbytes
        Weights that a call reads.
    note
        For the reader of the table.
    """

    call: Callable[[], object]
    result: Any = None
    nbytes: int = 0
    note: str = ""


Maker = Callable[[], Case]


def options() -> dict[str, Any]:
    """What the driver asks of the worker: ``folder``, ``width``, ``blocks``, ``threads``..."""
    found: dict[str, Any] = json.loads(sys.argv[1])
    return found


def private_output() -> Any:
    """Standard output for the driver alone: what a library prints goes to standard error."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def repeats(nbytes: int, asked: dict[str, Any]) -> int:
    """Copies to call in turn so that weights stream from memory, as those of a whole model do."""
    return max(1, -(-int(asked["stream"]) // max(nbytes, 1)))


def copies_note(copies: int) -> str:
    """For a case's ``note``."""
    return "one copy" if copies == 1 else f"{copies} copies in turn"


def held() -> int:
    """Bytes of memory that this process has in use, 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as told:
            return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def serve(version: str, makers: dict[str, Maker], out: Any) -> None:
    """Answer until the driver closes its end; what fails is an answer too."""
    cases: dict[str, Case] = {}

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        name = request["case"]
        if request["do"] == "make":
            begin = time.perf_counter()
            case = cases[name] = makers[name]()
            if case.result is not None:
                np.save(request["out"], np.asarray(case.result, np.float32))
            return {"nbytes": case.nbytes, "note": case.note, "checked": case.result is not None,
                    "made": time.perf_counter() - begin, "held": held()}
        call = cases[name].call
        call()  # wakes threads; does not count
        seconds = []
        for _ in range(request["calls"]):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        return {"seconds": seconds}

    print(json.dumps({"version": version, "cases": list(makers)}), file=out, flush=True)
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception as error:  # any failure of a peer is a line of the table
            found = {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"}
        print(json.dumps(found), file=out, flush=True)
