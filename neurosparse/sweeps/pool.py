"""Workers: what runs one point, and the process pool that a sweep starts by itself.

The pool starts fresh interpreters (``spawn``): forking a program that has BLAS or numba threads
can deadlock. Every worker holds the reading end of one pipe; when the caller closes the other
end, or dies, the workers leave at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Protocol


class Submits(Protocol):
    """Anything like a ``concurrent.futures`` executor."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run ``fn(*args)`` some time, somewhere."""


# What dask.distributed raises when workers died under a task; it cannot be imported here.
_DEAD = ("KilledWorker", "CommClosedError", "FutureCancelledError")


def lost_worker(error: BaseException) -> bool:
    """Whether an executor lost its workers: no fault of what was submitted."""
    return (isinstance(error, (BrokenExecutor, CancelledError))
            or type(error).__name__ in _DEAD)


def here() -> str:
    """Name of this process among all machines."""
    return f"{socket.gethostname()}:{os.getpid()}"


def evaluate(
    function: Callable[..., Any], arguments: dict[str, Any], threads: int | None, caller: str
) -> Any:
    """Run one point, in a worker.

    The number of BLAS threads changes the last bits of a product, so that it must not depend on
    who runs the point. In the caller's own process the caller has set it already.
    """
    if threads is not None and here() != caller:
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=threads)
    return function(**arguments)


class Here:
    """An executor that runs each point where it is submitted, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def _begin(pipe: Connection) -> None:
    # Ctrl-C reaches the whole process group: the caller alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def leave_with_caller() -> None:
        try:
            pipe.recv()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=leave_with_caller, daemon=True).start()


class Pool:
    """A process pool that can be started anew after a worker died, and stopped at once."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        reader, self._writer = context.Pipe(duplex=False)
        self._reader = reader
        self._executor = ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=_begin, initargs=(reader,)
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run ``fn(*args)`` in a worker."""
        return self._executor.submit(fn, *args)

    def stop(self) -> None:
        """End the workers now, whatever they do."""
        self._writer.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    def close(self) -> None:
        """End the workers, which have nothing left to do."""
        self._executor.shutdown(wait=True)
        self._writer.close()
        self._reader.close()

    def restart(self) -> None:
        """Replace a pool that lost a worker."""
        self.stop()
        self._start()
