"""An environment of its own for each peer: ``python benchmarks/peers/setup.py [NAME ...]``.

Under ``build/peers/NAME``, with the versions that the comparison was written for. What does not
install leaves a line that says why, which is what ``bench_peers.py`` then prints.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "peers"


@dataclass(frozen=True)
class Peer:
    """What to install, and how to see that it works.

    Attributes
    ----------
    pins
        Requirements of pip.
    module
        To import.
    pythons
        Versions that it has wheels for; empty: any.
    environment
        For pip.
    native
        Whether it is compiled for the processor that is here: then no wheel that pip has kept is
        taken, and another processor gets another build.
    minutes
        That it may take.
    """

    pins: tuple[str, ...]
    module: str
    pythons: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    native: bool = False
    minutes: int = 10

    def mark(self) -> str:
        """What an environment must have been made from."""
        return "\n".join([*self.pins, *([processor(), *skills()] if self.native else [])])


PEERS = {
    "openvino": Peer(("openvino==2026.4.1", "numpy==2.4.6"), "openvino"),
    # The last release with an engine in open wheels that is not marked as dead.
    "deepsparse": Peer(("deepsparse==1.8.0", "onnx==1.14.1", "numpy==1.26.4",
                        "protobuf==7.36.2"), "deepsparse", ("3.11", "3.10", "3.9", "3.8")),
    # The wheels of llama.cpp on PyPI stop at AVX2; the sources are built for this processor.
    "llama_cpp": Peer(("llama-cpp-python==0.3.36", "numpy==2.4.6"), "llama_cpp",
                      environment={"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"},
                      native=True, minutes=60),
}


def processor() -> str:
    """Its name, where the system tells."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def skills() -> list[str]:
    """Instruction sets of the processor: a virtual one often has no more of a name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].split() for line in lines
                 if line.startswith(("flags", "Features"))), [])


def python_of(name: str) -> Path:
    """The environment's Python."""
    return BUILD / name / "bin" / "python"


def why_not(name: str) -> str | None:
    """None where the peer is installed in the pinned versions, else a line that says why not."""
    failed, done = BUILD / name / "failed.txt", BUILD / name / "pins.txt"
    if done.exists() and done.read_text(encoding="utf-8") == PEERS[name].mark():
        return None
    if failed.exists():
        return failed.read_text(encoding="utf-8")
    return "not installed for this machine (make bench-peers installs it)"


def interpreter(peer: Peer) -> str | None:
    """A Python of a version that it has wheels for."""
    if not peer.pythons or f"{sys.version_info.major}.{sys.version_info.minor}" in peer.pythons:
        return sys.executable
    return next((found for version in peer.pythons
                 if (found := shutil.which(f"python{version}"))), None)


def install(name: str) -> str | None:
    """Make the environment if it is not there; the answer of ``why_not``."""
    if why_not(name) is None:
        return None
    peer, folder = PEERS[name], BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    why = _attempt(peer, folder)
    if why is None:
        (folder / "pins.txt").write_text(peer.mark(), encoding="utf-8")
    else:
        (folder / "failed.txt").write_text(why, encoding="utf-8")
    return why


def _attempt(peer: Peer, folder: Path) -> str | None:
    base = interpreter(peer)
    if base is None:
        return f"needs Python {' or '.join(peer.pythons)}, which is not here"
    python = str(folder / "bin" / "python")
    steps = [[base, "-m", "venv", str(folder)],
             [python, "-m", "pip", "install", *(["--no-cache-dir"] if peer.native else []),
              *peer.pins],
             [python, "-c", f"import {peer.module}"]]
    log = folder / "install.log"
    for step in steps:
        with log.open("a", encoding="utf-8") as out:
            try:
                code = subprocess.run(step, env={**os.environ, **peer.environment}, stdout=out,
                                      stderr=subprocess.STDOUT, check=False,
                                      timeout=60 * peer.minutes).returncode
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{step[1:4]}: {error}"[:300]
        if code:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            told = [line for line in last if "rror" in line] or last
            return f"does not install: {told[-1].strip()[:300]} ({log})"
    frozen = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True,
                            check=False)
    (folder / "installed.txt").write_text(frozen.stdout, encoding="utf-8")
    return None


def main() -> None:
    """Install what is asked for, all by default."""
    for name in sys.argv[1:] or PEERS:
        why = install(name)
        print(f"{name}: {'installed, ' + ', '.join(PEERS[name].pins) if why is None else why}",
              flush=True)


if __name__ == "__main__":
    main()
