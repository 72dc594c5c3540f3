"""Sweeps: the same results for any workers, nothing lost, nothing mixed up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sweep_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.errors import FormatError, InputError, NeurosparseError, ResumeError
from neurosparse.sweeps import SweepResult, sweep

GRID = {"a": [0.0, 1.0, 2.0], "b": ["x", "yy"]}


def doubled(a: int, *, seed: int) -> dict[str, int]:
    return {"y": 2 * a, "seed": seed % 2**50}


@settings(max_examples=30)
@given(st.lists(st.integers(-99, 99), min_size=1, max_size=6), st.integers(1, 3))
def test_results_lie_by_grid_index(values: list[int], repeats: int) -> None:
    result = sweep(doubled, {"a": values}, repeats=repeats, workers=0)
    assert result.complete
    expected = np.repeat(2.0 * np.array(values)[:, None], repeats, axis=1)
    np.testing.assert_array_equal(result.values["y"], expected)
    assert len(np.unique(result.values["seed"])) == len(values) * repeats


def test_the_same_for_any_workers(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"fixed": {"scale": 3.0}, "repeats": 2, "seed": 5}
    alone = sweep(cases.noisy, GRID, workers=0, **asked)
    two = sweep(cases.noisy, GRID, workers=2, store=tmp_path / "two.h5", **asked)
    with ThreadPoolExecutor(3) as threads:
        three = sweep(cases.noisy, GRID, executor=threads, workers=3, **asked)
    for other in (two, three, SweepResult.load(tmp_path / "two.h5")):
        assert other.grid == {"a": (0.0, 1.0, 2.0), "b": ("x", "yy")}
        assert alone.values.keys() == other.values.keys()
        for name, values in alone.values.items():
            np.testing.assert_array_equal(values, other.values[name])
    assert alone.values["vector"].shape == (3, 2, 2, 3)
    np.testing.assert_array_equal(alone.mean("length"), [[1, 2]] * 3)
    spread = alone.values["number"]
    np.testing.assert_allclose(
        alone.stderr("number"), np.abs(spread[..., 0] - spread[..., 1]) / 2, rtol=1e-12
    )
    other_seed = sweep(cases.noisy, GRID, workers=0, **{**asked, "seed": 6})
    assert not np.isclose(other_seed.values["number"], alone.values["number"]).any()


class Shuffled:
    """An executor that finishes nothing until it has all points, and then backwards."""

    def __init__(self, points: int) -> None:
        self.points = points
        self.calls: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append((future, fn, args))
        if len(self.calls) == self.points:
            for each, function, arguments in reversed(self.calls):
                each.set_result(function(*arguments))
        return future


def test_order_of_finishing_does_not_matter() -> None:
    straight = sweep(cases.noisy, GRID, workers=0)
    backwards = sweep(cases.noisy, GRID, executor=Shuffled(6))
    np.testing.assert_array_equal(straight.values["number"], backwards.values["number"])


def test_an_integer_first_does_not_round_what_follows() -> None:
    values = sweep(lambda a, seed: {"y": 1 if a == 0 else 0.5}, {"a": [0, 1]}, workers=0).values
    np.testing.assert_array_equal(values["y"][:, 0], [1.0, 0.5])


def test_an_error_comes_out_with_its_point_and_the_rest_goes_on_later(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with pytest.raises(ValueError, match="three") as caught:
        sweep(cases.failing, {"a": range(5)}, workers=0, store=path)
    assert "'a': 3" in caught.value.__notes__[0]
    part = SweepResult.load(path)
    assert part.done[:, 0].tolist() == [True, True, True, False, False]
    assert np.isnan(part.values["y"][3:]).all()
    assert np.isnan(part.mean("y")[3])
    seen: list[tuple[str, int, int]] = []
    with pytest.raises(ValueError):
        sweep(cases.failing, {"a": range(5)}, workers=0, store=path,
              progress=lambda *step: seen.append(step))
    assert seen == [("sweep", 3, 5)]  # nothing is run twice


def test_interrupted_and_resumed_is_as_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"

    def stop(label: str, done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(cases.noisy, GRID, workers=0, store=path, progress=stop)
    assert SweepResult.load(path).done.sum() == 4
    resumed = sweep(cases.noisy, GRID, workers=0, store=path)
    whole = sweep(cases.noisy, GRID, workers=0)
    np.testing.assert_array_equal(resumed.values["vector"], whole.values["vector"])
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


@pytest.mark.parametrize("change", [
    {"seed": 1}, {"repeats": 2}, {"fixed": {"scale": 2.0}}, {"grid": {**GRID, "a": [0.0, 1.0]}},
    {"function": lambda a, b, seed: {"number": a}},
])
def test_the_file_of_another_sweep_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "s.h5"
    asked: dict[str, Any] = {"function": cases.noisy, "grid": GRID, "workers": 0, "store": path}
    sweep(**asked)
    before = path.read_bytes()
    with pytest.raises(ResumeError, match=next(iter(change))):
        sweep(**{**asked, **change})
    assert path.read_bytes() == before
    assert sweep(**{**asked, **change, "resume": False}).complete


def test_whole_numbers_are_the_same_axis(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    sweep(cases.noisy, GRID, workers=0, store=path)
    before = path.read_bytes()
    again = sweep(cases.noisy, {**GRID, "a": [0, 1, 2]}, workers=0, store=path)
    assert again.complete and path.read_bytes() == before


def test_not_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "neurosparse.profile"
    for name in ("text.h5", "other.h5"):
        with pytest.raises(FormatError, match=name):
            SweepResult.load(tmp_path / name)
        with pytest.raises(FormatError, match=name):
            sweep(cases.noisy, GRID, workers=0, store=tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        SweepResult.load(tmp_path / "absent.h5")


@pytest.mark.parametrize(("arguments", "named"), [
    ({"grid": {}}, "grid"), ({"grid": {"a": []}}, "a = "), ({"grid": {"a": 3}}, "a = 3"),
    ({"grid": {"a": {1, 2}}}, "a = "),
    ({"grid": {"a": [1], "seed": [1]}}, "seed"), ({"fixed": {"a": 1}}, "'a' given twice"),
    ({"repeats": 0}, "repeats = 0"), ({"seed": -1}, "seed = -1"), ({"workers": -1}, "workers"),
    ({"threads": 0}, "threads"), ({"attempts": 0}, "attempts"), ({"function": 3}, "function"),
    ({"fixed": {"f": object()}}, "f of type object"),
])
def test_bad_input_is_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        sweep(**{"function": doubled, "grid": {"a": [1]}, **arguments})


@pytest.mark.parametrize("returned", [
    3.0, {}, {"y": "text"}, {"y": [1.0, 2.0]}, {"z": 1.0}, {"y": 1j}, {"y": 1.0, "z": 1.0},
])
def test_a_result_of_another_form_is_refused(returned: Any) -> None:
    with pytest.raises(InputError, match="'a': 1"):
        sweep(lambda a, seed: returned if a else {"y": 1.0}, {"a": [0, 1]}, workers=0)


def test_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    kept = sweep(cases.once_deadly, {"a": range(6)}, fixed={"folder": str(tmp_path)}, workers=2,
                 store=tmp_path / "s.h5")
    assert (tmp_path / "killed").exists()
    again = sweep(cases.once_deadly, {"a": range(6)}, fixed={"folder": str(tmp_path)}, workers=0)
    np.testing.assert_array_equal(kept.values["y"], again.values["y"])


def test_a_point_that_always_kills_is_named(tmp_path: Path) -> None:
    with pytest.raises(NeurosparseError, match=r"3 dead workers at \{'a': 2\}"):
        sweep(cases.always_deadly, {"a": range(4)}, workers=2, store=tmp_path / "s.h5")
    kept = SweepResult.load(tmp_path / "s.h5")
    assert kept.done[:2, 0].all() and not kept.done[2, 0]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that sweeps with two workers, stuck from point 3 on."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(cases.__file__).parent)!r})\n"
        "import sweep_cases\n"
        "from neurosparse.sweeps import sweep\n"
        "if __name__ == '__main__':\n"
        "    sweep(sweep_cases.slow, {'a': range(8)}, workers=2, store='s.h5',\n"
        f"          fixed={{'folder': {str(tmp_path)!r}, 'seconds': 60.0}})\n"
    )
    program = subprocess.Popen(
        [sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True
    )
    ran = tmp_path / "ran"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and program.poll() is None:
        if ran.exists() and len(ran.read_text().split()) >= 5 and (tmp_path / "s.h5").exists():
            time.sleep(0.3)
            break
        time.sleep(0.05)
    try:
        yield program
    finally:
        if program.poll() is None:
            program.kill()
            program.communicate()


def group(pid: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the process table of Linux")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_from_outside(
    running: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    assert running.poll() is None, running.communicate()[1].decode()
    started = time.monotonic()
    if number == signal.SIGINT:
        os.killpg(running.pid, number)  # as Ctrl-C does
    else:
        running.send_signal(number)
    running.communicate()
    assert running.returncode != 0
    while group(running.pid) and time.monotonic() - started < 20:
        time.sleep(0.05)
    assert not group(running.pid)  # no worker stays behind, stuck or not
    assert time.monotonic() - started < 20
    kept = SweepResult.load(tmp_path / "s.h5")
    assert kept.done[:, 0].tolist() == [True] * 3 + [False] * 5
    fixed = {"folder": str(tmp_path), "seconds": 60.0}
    whole = sweep(cases.slow, {"a": range(3)}, fixed=fixed, workers=0)
    np.testing.assert_array_equal(kept.values["y"][:3], whole.values["y"])
    assert not list(tmp_path.glob(".*.part"))


def test_dask_is_not_imported() -> None:
    code = ("import sys, neurosparse.sweeps\n"
            "assert not {'dask', 'distributed', 'scipy', 'torch'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_dask_cluster_that_loses_a_worker(tmp_path: Path) -> None:
    distributed = pytest.importorskip(
        "distributed", reason="dask.distributed (the extra 'cluster') is not installed"
    )
    expected = sweep(cases.pid, {"a": range(60)}, workers=0)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        victims: list[int] = []

        def kill(label: str, done: int, total: int) -> None:
            if done == 10 and not victims:
                victims.extend(client.run(os.getpid).values())
                os.kill(victims[0], signal.SIGKILL)

        kept = sweep(cases.pid, {"a": range(60)}, executor=client.get_executor(), workers=2,
                     store=tmp_path / "s.h5", progress=kill)
        assert len(victims) == 2
        mortal = sweep(cases.once_deadly, {"a": range(6)}, fixed={"folder": str(tmp_path)},
                       executor=client.get_executor())
    assert kept.complete and mortal.complete
    assert (tmp_path / "killed").exists()
    np.testing.assert_array_equal(kept.values["y"], expected.values["y"])
    alone = sweep(cases.once_deadly, {"a": range(6)}, fixed={"folder": str(tmp_path)}, workers=0)
    np.testing.assert_array_equal(mortal.values["y"], alone.values["y"])
