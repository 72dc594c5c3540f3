"""A search on dask workers: the archive is that of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import search_cases as cases

from neurosparse.search import EvolutionProposer, search

distributed = pytest.importorskip(
    "distributed", reason="dask.distributed (the extra 'cluster') is not installed"
)
pytestmark = pytest.mark.slow
SPACE = cases.space()


def test_the_archive_is_that_of_one_process(tmp_path: Path) -> None:
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    search(SPACE, cases.plain, EvolutionProposer(SPACE), 12, takes="values", archive=here, batch=4)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None,
                                 local_directory=str(tmp_path / "dask")) as cluster,
        distributed.Client(cluster) as client,
    ):
        search(SPACE, cases.plain, EvolutionProposer(SPACE), 12, takes="values", archive=there,
               batch=4, executor=client.get_executor())
    assert there.read_bytes() == here.read_bytes()
