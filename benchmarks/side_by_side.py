"""Rows of a table by several processes, each with its share of the threads and its own model."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

Row = tuple[Any, ...]


def side_by_side(measure: Callable[..., Any], rows: Sequence[Row], workers: int
                 ) -> Iterator[tuple[Row, Any]]:
    """``(row, measure(*row))`` as they are through; in this process if there is one worker.

    Half of such a row is small products, which two threads do hardly sooner than one.
    """
    if workers == 1 or len(rows) < 2:
        for row in rows:
            yield row, measure(*row)
        return
    # Before torch is imported there: its pools are made once.
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(measure, *row): row for row in rows}
        for future in as_completed(futures):
            yield futures[future], future.result()
