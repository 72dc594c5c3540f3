"""Everything of issue 9 on one card: one table, one file.

    python benchmarks/gpu/run_all.py --out docs/measured/gpu.json
    python benchmarks/gpu/run_all.py --only gemv decode --seconds 540
    python benchmarks/gpu/run_all.py --small                 the same on a CPU, to see that it runs

Every script runs in a process of its own, so that one that fails takes nothing along and memory is
given back; the file is written after each. What the file has of the same card and versions is not
measured again (``--again`` does). With ``--seconds`` no script is begun that may not be done in
time: call again to go on. ``--show`` prints the table of the file.

A card of 80 GB is enough for each. Expected seconds on an H100, the loading of torch included,
stand in ``SCRIPTS``. The tables on the real model are not among them: they take hours on any card
and have their own files (``python benchmarks/table_losa.py --device cuda --full``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from card import HEAD, Row, no_card, versions

HERE = Path(__file__).parent
# Name and the most seconds that it should take on an H100; in the order of what is asked first.
SCRIPTS = {"gemv": 40, "decode": 80, "prefill": 90, "wanda": 180, "losa_step": 90,
           "exponents": 130, "two_four": 40, "sparsegpt": 60, "video": 80}


def run(name: str, *, small: bool, limit: float) -> dict[str, Any]:
    """One script; what it wrote, or why it wrote nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / f"bench_{name}.py"), "--out", str(path),
                   *(["--small"] if small else [])]
        begin = time.perf_counter()
        try:
            code = subprocess.run(command, timeout=limit, check=False).returncode
        except subprocess.TimeoutExpired:
            code = 124
        spent = time.perf_counter() - begin
        if code == 0 and path.is_file():
            return {**json.loads(path.read_text()), "wall_s": round(spent, 1)}
        return {"failed": f"exit code {code} after {spent:.0f} s", "rows": []}


def known(table: dict[str, Any], name: str, *, small: bool) -> bool:
    """Whether the file has this script's rows, measured with these versions."""
    found = table.get(name, {})
    return bool(found.get("rows")) and found.get("small") == small and (
        found.get("versions") == versions())


def show(table: dict[str, Any]) -> bool:
    """The table; whether nothing failed."""
    cards = sorted({f"{one['card']}{' (small shapes: no result)' if one['small'] else ''}"
                    for one in table.values() if "card" in one})
    print(f"\n{' and '.join(cards) or 'nothing measured'}\n{HEAD}")
    for name, found in table.items():
        for line in found["rows"]:
            print(Row(**{key: value for key, value in line.items() if key != "times"}).text())
        if "failed" in found:
            print(f"{name}: FAILED, {found['failed']}")
    return not any("failed" in found for found in table.values())


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for and not there; 0 where all went well, 2 without a card."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/gpu.json"))
    parser.add_argument("--only", nargs="+", choices=list(SCRIPTS), default=list(SCRIPTS))
    parser.add_argument("--seconds", type=float, default=float("inf"),
                        help="in all: begin nothing that may take longer")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--show", action="store_true")
    asked = parser.parse_args(arguments)
    if not (asked.small or asked.show) and (reason := no_card()):
        print(f"run_all: found {reason}; expected a CUDA card. --small runs the same lines "
              "without one.", file=sys.stderr)
        return 2
    table: dict[str, Any] = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    begin = time.perf_counter()
    for name in [] if asked.show else asked.only:
        if not asked.again and known(table, name, small=asked.small):
            continue
        left = asked.seconds - (time.perf_counter() - begin)
        if SCRIPTS[name] > left:
            print(f"{name}: not begun, {left:.0f} s are left of which it may need {SCRIPTS[name]}")
            continue
        print(f"\n== {name}", flush=True)
        table[name] = run(name, small=asked.small, limit=min(left, 4.0 * SCRIPTS[name]))
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(table, indent=1))
    return 0 if show(table) else 1


if __name__ == "__main__":
    sys.exit(main())
