"""Maps jobs over processes that may die: each job ends as done or as crashed; no process outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from mudar.parent_death import die_with_parent

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class WorkerCrashed:
    """The process that did the job died, of a fault that Python cannot catch."""


def map_processes(do: Callable[[J], R], jobs: Sequence[J], workers: int) -> Iterator[tuple[J, R | WorkerCrashed]]:
    """Yields each job as it ends, with its result. One worker means here, in this process."""
    if workers <= 1 or len(jobs) <= 1:
        yield from ((job, do(job)) for job in jobs)
        return
    left = dict(enumerate(jobs))
    for index, given in _map_until_crash(do, left, workers):
        yield left.pop(index), given
    # A death breaks the pool for all: who is left is done in a pool of its own, so that only the culprit is blamed.
    for index, job in left.items():
        alone = list(_map_until_crash(do, {index: job}, 1))
        yield job, alone[0][1] if alone else WorkerCrashed()


def _map_until_crash(do: Callable[[J], R], jobs: dict[int, J], workers: int) -> Iterator[tuple[int, R]]:
    """(number, outcome) of the jobs until all are done or a process dies."""
    spawn = multiprocessing.get_context("spawn")  # a fork of a process whose libraries run threads may hang
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=spawn, initializer=_begin, initargs=(os.getpid(),)
    ) as pool:
        try:
            futures: dict[Future[R], int] = {pool.submit(do, job): index for index, job in jobs.items()}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            return


def _begin(parent: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    die_with_parent(parent)
