"""The thread pool as Python sees it: forks, several callers, no threads before the first call."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from kernel_cases import make_case

from neurosparse import kernels
from neurosparse.errors import InputError

pytestmark = pytest.mark.usefixtures("restored_threads")

BIG = make_case("bf16", 1200, 1024, 0.5, 7)
X = np.random.default_rng(3).standard_normal((2, 1024)).astype(np.float32)


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forked_child_can_call() -> None:
    kernels.set_threads(3)
    expected = BIG.product(X)
    code = 1
    child = os.fork()
    if child == 0:
        try:  # the child leaves here, whatever happens: the test run is the parent's
            code = 0 if all(np.array_equal(BIG.product(X), expected) for _ in range(5)) else 3
        finally:
            os._exit(code)
    waiter = threading.Timer(60, os.kill, (child, 9))
    waiter.start()
    _, status = os.waitpid(child, 0)
    waiter.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    assert np.array_equal(BIG.product(X), expected)


def test_several_python_threads_may_call_at_once() -> None:
    kernels.set_threads(2)
    expected = BIG.product(X)
    wrong: list[int] = []

    def call(index: int) -> None:
        results = [BIG.product(X) for _ in range(20)]
        wrong.extend(index for result in results if not np.array_equal(result, expected))

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(120)
    assert not wrong
    assert not any(caller.is_alive() for caller in callers)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads by /proc")
def test_threads_start_with_the_first_call_that_needs_them() -> None:
    code = """
import os, numpy as np
from neurosparse import kernels
count = lambda: len(os.listdir("/proc/self/task"))
start = count()
kernels.set_threads(3)
kernels.pack_mask(np.ones((4, 64), bool))
small = count()
for _ in range(3):
    kernels.pack_mask(np.ones((4000, 1000), bool))
print(small - start, count() - start)
"""
    assert run(code, NEUROSPARSE_CPU_LEVEL="baseline", OPENBLAS_NUM_THREADS="1") == "0 2"


def test_environment_sets_the_number_of_threads() -> None:
    code = "from neurosparse import kernels; print(kernels.threads())"
    assert run(code, NEUROSPARSE_THREADS="5") == "5"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert run(code, NEUROSPARSE_THREADS="") == str(cores)


@pytest.mark.parametrize("count", [0, -1, 257])
def test_impossible_numbers_of_threads_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"n = {count}"):
        kernels.set_threads(count)


def test_the_gil_is_free_during_a_call() -> None:
    """Another Python thread makes progress while one long product runs."""
    kernels.set_threads(1)
    case = make_case("fp16", 4000, 1024, 0.5, 8)
    tiles = case.tiles()
    x = np.ones((256, 1024), np.float32)
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    with kernels.using("baseline"):
        counter = threading.Thread(target=tick)
        counter.start()
        tiles.matvec(x)
        seen = ticks
        done.set()
        counter.join()
    assert seen >= 3
