"""What ``neurosparse phase`` tells before and after."""

from __future__ import annotations

import os
import warnings
from functools import partial
from typing import Any

import numpy as np

from neurosparse.cli.cost import Cost, couplings_bytes, products_time, step_of
from neurosparse.cli.folder import Folder
from neurosparse.cli.network import Network
from neurosparse.cli.show import plain, print_facts, print_json, print_table
from neurosparse.errors import InputError


def cost(asked: dict[str, Any], workers: int | None) -> Cost:
    """Estimate; and checks of what a point would refuse, before a worker starts.

    Raises
    ------
    InputError
        A value out of its range.
    """
    from neurosparse.lyapunov import propagator
    from neurosparse.lyapunov.network import default_step
    from neurosparse.lyapunov.phase import _check

    if workers is not None and workers < 0:
        raise InputError("phase", found=f"workers {workers}", expected="at least 0")
    _check(asked["gains"], asked["gammas"], *(asked[name] for name in (
        "n", "k", "draws", "duration", "windows", "dt")))
    seconds = 0.0
    for gamma in asked["gammas"]:
        top = _network(asked, max(asked["gains"]), gamma)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            propagator(top.build(0, n=2), method=asked["method"], dt=asked["dt"])
        for gain in asked["gains"]:
            network = _network(asked, gain, gamma)
            method = asked["method"] or "rk4"
            steps = asked["duration"] / step_of(network, asked["dt"],
                                                partial(default_step, method=method))
            seconds += asked["draws"] * products_time(network, method, steps, asked["k"] + 1)
    processes = max(1, len(os.sched_getaffinity(0)) if workers is None else workers)
    # the first window runs twice; fixed points are sought at the end
    seconds *= 1.3 / processes
    points = len(asked["gains"]) * len(asked["gammas"]) * asked["draws"]
    each = 8.0 * (2 * asked["windows"] * (asked["k"] + 1) + 10)
    return Cost(seconds + 3 * (workers != 0), processes * (couplings_bytes(top) + 150e6),
                2 * points * each + 50e3)


def _network(asked: dict[str, Any], gain: float, gamma: float) -> Network:
    nothing = dict.fromkeys(Network.__dataclass_fields__)
    return Network.of({**nothing, "n": asked["n"], "gain": gain, "symmetry": asked["symmetry"],
                       "sparsity": asked["sparsity"], "phi": asked["phi"], "gamma": gamma,
                       "temperature": 0.0})


def finish(diagram: Any, folder: Folder, figure: str, *, as_json: bool) -> None:
    """The diagram's file, its figure and record; a table or JSON."""
    from neurosparse import report

    diagram.save(folder.path / "phase.h5")
    files = {"diagram": str(folder.path / "phase.h5"), "sweep": str(folder.path / "sweep.h5")}
    if np.isfinite(diagram.exponent).any():
        drawn = folder.figure(figure, "phase", lambda: report.phase(diagram))
        files |= {"figure": drawn} if drawn else {}
    results = {"status": "finished", "gains": diagram.gain, "gammas": diagram.gamma,
               "exponent": diagram.exponent, "stderr": diagram.stderr,
               "final_energy": diagram.final_energy, "fraction_zero": diagram.fraction_zero,
               "regimes": diagram.regimes().tolist(), "diverged": int(diagram.diverged.sum()),
               "files": files}
    folder.write(plain(results))
    if as_json:
        print_json(results)
        return
    words = diagram.regimes()
    rows = [[f"{g:g}", *(f"{diagram.exponent[i, j]:+.4f} {words[i, j]}"
                         for j in range(len(diagram.gamma)))] for i, g in enumerate(diagram.gain)]
    print_table("Largest exponent and regime", ("g", *(f"gamma {c:g}" for c in diagram.gamma)),
                rows)
    print_facts([*([("diverged", f"{results['diverged']} of {diagram.diverged.size} runs")]
                   if results["diverged"] else []), *files.items()])
