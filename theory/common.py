"""What the scripts share: arguments, workers, files, figures. No physics (see protocol.py)."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

import neurosparse
from neurosparse.files import write_whole
from neurosparse.report import paper

Settings = dict[str, Any]


def arguments(doc: str, minutes: str, full: Settings, quick: Settings) -> tuple[Path, Settings]:
    """Read the command line: folder to write to, and the settings of the form that was asked for.

    ``full`` are the settings of the full form, ``quick`` what the quick form changes. Any setting
    that is a number, a word or a list of numbers can be given as an option of its own.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"The full form takes about {minutes} on two cores, --quick a few seconds.")
    parser.add_argument("--quick", action="store_true", help="small and short: that it runs")
    parser.add_argument("--out", type=Path, default=Path("out/theory"), metavar="FOLDER",
                        help="where HDF5 and figures go (out/theory)")
    parser.add_argument("--seed", type=int, default=0, help="of the first draw (0)")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    for name, value in full.items():
        if isinstance(value, int | float | str):
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value),
                                help=f"({value})")
        elif isinstance(value, list) and value and isinstance(value[0], int | float):
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value[0]), nargs="+",
                                help=f"({' '.join(map(str, value))})")
    asked = vars(parser.parse_args())
    settings = {**full, **(quick if asked["quick"] else {})}
    settings |= {name: asked[name] for name in full if asked.get(name) is not None}
    settings |= {"seed": asked["seed"], "quick": asked["quick"],
                 "workers": 1 if asked["quick"] else asked["workers"]}
    return asked["out"], settings


def spread(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int,
           ) -> list[Any]:
    """``function(*call)`` for every call, in order; each worker has one BLAS thread.

    Nothing depends on the number of workers: the seeds are in the calls.
    """
    found: list[Any] = []
    began = time.perf_counter()
    with _mapper(workers) as run:
        for result in run(function, calls):
            found.append(result)
            if sys.stderr.isatty():
                print(f"\r{function.__name__} {len(found)}/{len(calls)}, "
                      f"{time.perf_counter() - began:.0f} s ", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return found


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[[Callable[..., Any], Any], Iterator[Any]]]:
    if workers <= 1:
        with threadpool_limits(limits=1):
            yield lambda function, calls: (function(*call) for call in calls)
        return
    # spawn: forking a program that has BLAS or numba threads can deadlock
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"),
                             initializer=threadpool_limits, initargs=(1,)) as pool:
        yield lambda function, calls: pool.map(function, *zip(*calls, strict=True))


def save(out: Path, name: str, settings: Settings, arrays: Mapping[str, Any]) -> None:
    """Write the data to ``out/name.h5``: settings as attributes, one data set an array."""
    with write_whole(out / f"{name}.h5") as beside, h5py.File(beside, "w") as file:
        file.attrs["script"] = f"theory/{name}.py"
        file.attrs["neurosparse"] = neurosparse.__version__
        for key, value in settings.items():
            plain = isinstance(value, bool | int | float | str)
            file.attrs[key] = value if plain else json.dumps(value)
        for key, value in arrays.items():
            array = np.asarray(value)
            file[key] = array.astype(object) if array.dtype.kind == "U" else array


@contextmanager
def figure(out: Path, name: str, height: float) -> Iterator[Figure]:
    """Yield a single-column figure of this height (inches) and write it as SVG and PNG."""
    with paper.settings(), matplotlib.rc_context(
            {"svg.fonttype": "path", "svg.hashsalt": name, "text.parse_math": True}):
        drawn = Figure(figsize=(paper.COLUMN, height), layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        for kind, more in (("png", {"dpi": 220}), ("svg", {"metadata": {"Date": None}})):
            with write_whole(out / f"{name}.{kind}") as beside:
                drawn.savefig(beside, format=kind, facecolor="white", **more)


def verdict(text: str) -> None:
    """The one line that a reader is after; it is computed from the data."""
    print(f"verdict: {text}")


def mean_error(values: Any) -> tuple[Any, Any]:
    """Mean and standard error over the first axis, the draws; NaN errors for one draw."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return array.mean(axis=0), np.full(array.shape[1:], np.nan)
    return array.mean(axis=0), array.std(axis=0, ddof=1) / np.sqrt(len(array))


def pm(mean: float, error: float) -> str:
    """``0.1125 ± 0.0012``; without an error where there is none."""
    return f"{mean:.4g}" if not np.isfinite(error) else f"{mean:.4g} ± {error:.2g}"
