"""Jobs over processes that may die."""

from __future__ import annotations

import os

import pytest

from training.process_pool import WorkerCrashed, map_processes


class Dies:
    """A job that kills its process, as a broken decoder may."""

    def __call__(self, job: int) -> int:
        if job == 2:
            os._exit(9)
        return job * 10


@pytest.mark.slow
def test_a_file_that_kills_its_process_is_the_only_one_lost() -> None:
    assert dict(map_processes(Dies(), [0, 1, 2, 3], 2)) == {0: 0, 1: 10, 2: WorkerCrashed(), 3: 30}


def test_one_worker_means_here() -> None:
    assert list(map_processes(str, [3, 4], 1)) == [(3, "3"), (4, "4")]
