"""The sweep itself: hand out points, write results as they come, try again where a worker died."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from neurosparse.errors import InputError, NeurosparseError
from neurosparse.progress import Progress, silent
from neurosparse.sweeps.grid import Grid, make_grid
from neurosparse.sweeps.pool import Here, Pool, Submits, evaluate, here, lost_worker
from neurosparse.sweeps.result import SweepResult
from neurosparse.sweeps.store import Store

# Points handed to an executor that does not say how many workers it has.
_WINDOW = 256


def sweep(
    function: Callable[..., dict[str, Any]],
    grid: Mapping[str, Any],
    *,
    fixed: Mapping[str, Any] | None = None,
    repeats: int = 1,
    seed: int = 0,
    store: str | Path | None = None,
    executor: Submits | None = None,
    workers: int | None = None,
    threads: int | None = 1,
    attempts: int = 3,
    resume: bool = True,
    progress: Progress = silent,
) -> SweepResult:
    """Run a function at every point of a grid, on many workers, into one file.

    The seed of a point depends on ``seed``, its place in the grid and its repeat alone, and the
    results lie by grid index: they are the same for any executor and any number of workers.

    Parameters
    ----------
    function
        ``function(**point, **fixed, seed=int) -> dict`` of numbers and of arrays, the same names
        and shapes at every point. Real numbers are kept as float64. For workers in other
        processes it must be importable (defined at the top of a module).
    grid
        A sequence of values for each argument; the sweep runs their product.
    fixed
        Arguments that are the same at every point: numbers, strings, arrays.
    repeats
        Runs of every point, each with a seed of its own.
    store
        HDF5 file, written as results come. None keeps them in memory.
    executor
        Anything with ``submit`` of ``concurrent.futures``, such as
        ``dask.distributed.Client.get_executor()``; it is not shut down. None starts a pool of
        processes, which need the usual ``if __name__ == "__main__":`` in a script.
    workers
        Processes of that pool: all cores by default, 0 to run in this process. With an executor
        of your own: how many workers it has, to hand out twice as many points at a time.
    threads
        BLAS threads of each worker; None leaves them as they are, and then the last bits may
        depend on the machine.
    attempts
        How often a point is tried whose worker died (not one that raised an error).
    resume
        Go on with the points that an existing file lacks. False writes the file anew.
    progress
        ``progress("sweep", done, total)``.

    Returns
    -------
    SweepResult

    Raises
    ------
    InputError
        A bad grid, or results that are not what was promised.
    ResumeError
        The file belongs to another sweep, or another program is writing it.
    NeurosparseError
        The workers of one point died ``attempts`` times.

    Notes
    -----
    An error raised by the function ends the sweep and comes out with the point noted on it. After
    that, after Ctrl-C and after a kill, the file holds all points that were finished.

    Examples
    --------
    >>> def square(x: float, seed: int) -> dict[str, float]:
    ...     return {"y": x * x}
    >>> sweep(square, {"x": [1, 2, 3]}, workers=0).values["y"][:, 0]
    array([1., 4., 9.])
    """
    points = make_grid(function, grid, fixed, repeats, seed)
    for name, value, least in (("workers", workers, 0), ("threads", threads, 1),
                               ("attempts", attempts, 1)):
        if value is not None and value < least:
            raise InputError("sweep", found=f"{name} = {value}", expected=f"at least {least}")
    path = None if store is None else Path(store)
    keeper = Store(points, path, resume=resume)
    try:
        missing = [n for n in range(keeper.done.size) if not keeper.done[points.index(n)]]
        if missing:
            with _executor(executor, workers, len(missing), threads) as (submits, window):
                _Run(points, keeper, submits, window, threads, attempts, progress).all(missing)
        return SweepResult(
            grid=points.axes, repeats=repeats, values=keeper.values(), done=keeper.done.copy(),
            description=points.description(), path=path,
        )
    finally:
        keeper.close()


@contextmanager
def _executor(
    given: Submits | None, workers: int | None, points: int, threads: int | None
) -> Iterator[tuple[Submits, int]]:
    """The executor and how many points may be with it at a time."""
    if given is not None or workers == 0:
        limit: Any = nullcontext()
        if threads is not None:
            from threadpoolctl import threadpool_limits

            limit = threadpool_limits(limits=threads)
        with limit:
            if given is None:
                yield Here(), 1
            else:
                yield given, 2 * workers if workers else _WINDOW
        return
    count = min(workers or len(os.sched_getaffinity(0)), points)
    pool = Pool(count)
    try:
        yield pool, 2 * count
    except BaseException:
        pool.stop()
        raise
    pool.close()


class _Run:
    """One pass over the missing points."""

    def __init__(
        self, grid: Grid, store: Store, executor: Submits, window: int, threads: int | None,
        attempts: int, progress: Progress,
    ) -> None:
        self.grid, self.store, self.executor, self.window = grid, store, executor, window
        self.threads, self.attempts, self.progress = threads, attempts, progress
        self.flying: dict[Future[Any], int] = {}
        self.suspects: deque[int] = deque()
        self.deaths: Counter[int] = Counter()

    def all(self, numbers: Sequence[int]) -> None:
        """Run these points; leave no future behind."""
        waiting = deque(numbers)
        self._report()
        try:
            while waiting or self.suspects or self.flying:
                self._fill(waiting)
                finished = wait(self.flying, return_when=FIRST_COMPLETED).done
                for future in sorted(finished, key=self.flying.__getitem__):
                    self._collect(future)
        finally:
            for future in self.flying:
                future.cancel()

    def _fill(self, waiting: deque[int]) -> None:
        # After a death all points that were flying are tried again one at a time: the one that
        # kills its worker (of memory, say) is then known by its number.
        if self.suspects:
            if not self.flying:
                self._submit(self.suspects.popleft())
            return
        while waiting and len(self.flying) < self.window:
            number = waiting.popleft()
            if not self._submit(number):
                waiting.appendleft(number)
                return

    def _submit(self, number: int) -> bool:
        arguments = {**self.grid.point(number), **self.grid.fixed,
                     "seed": self.grid.point_seed(number)}
        call = (evaluate, self.grid.function, arguments, self.threads, here())
        try:
            future = self.executor.submit(*call)
        except BrokenExecutor:
            # A worker died between two submits; those that fly will say so too.
            if self.flying or not isinstance(self.executor, Pool):
                if not self.flying:
                    raise
                return False
            self.executor.restart()
            future = self.executor.submit(*call)
        self.flying[future] = number
        return True

    def _collect(self, future: Future[Any]) -> None:
        number = self.flying.pop(future, None)
        if number is None:  # swept up with a broken pool
            return
        try:
            result = future.result()
        except Exception as error:
            if isinstance(error, BrokenExecutor):
                self._mourn_pool(number, error)
            elif lost_worker(error):
                self._mourn(number, error)
                self.suspects.append(number)
            else:
                error.add_note(f"neurosparse: in a sweep, at {self._where(number)}")
                raise
            return
        self.store.write(number, result)
        self._report()

    def _mourn_pool(self, number: int, error: BaseException) -> None:
        """Count a death for all points that were flying, save what was finished, start anew."""
        if not isinstance(self.executor, Pool):
            error.add_note("neurosparse: the executor is broken; what was finished is in the file")
            raise error
        lost = [number]
        for other, its_number in list(self.flying.items()):
            wait([other])
            if other.cancelled() or isinstance(other.exception(), BrokenExecutor):
                lost.append(its_number)
                del self.flying[other]
        for each in sorted(lost):
            self._mourn(each, error)
        self.suspects.extend(sorted(lost))
        self.executor.restart()

    def _mourn(self, number: int, error: BaseException) -> None:
        self.deaths[number] += 1
        if self.deaths[number] < self.attempts:
            return
        raise NeurosparseError(
            "sweep", found=f"{self.deaths[number]} dead workers at {self._where(number)}",
            expected="workers that live to the end of a point",
            mend="Look at their memory. A script needs `if __name__ == \"__main__\":` around the "
            "sweep. What was finished is in the file.",
        ) from error

    def _where(self, number: int) -> str:
        repeat = self.grid.index(number)[-1]
        return f"{self.grid.point(number)}, repeat {repeat}, seed {self.grid.point_seed(number)}"

    def _report(self) -> None:
        self.progress("sweep", int(self.store.done.sum()), self.store.done.size)
