"""Makes an index fast as it grows: accelerated above some rows, in lists above many; beside searches and changes.

What comes next is made from a snapshot of the index, while searches and changes go on; the two then swap, and rows
that were added meanwhile lie beside the lists. How many lists a search probes is chosen for each λ from the recall
against exact answers to held-out queries. Knows numpy and FAISS.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mudar.index.exact import ACCELERATE_FROM_ROWS, Device, accelerate
from mudar.index.hybrid import ROWS_AN_ITEM, HybridIndex, IndexSnapshot
from mudar.index.ivf import BY_BOTH, BY_EMBEDDING, BY_RHYTHM, LOST, ROWS_A_LIST, TRAIN_ROWS, IvfIndex, lists_for, train
from mudar.index.tuning import ALL_ROWS, FLOOR, HUNDRED, LAMBDAS, TEN, OperatingPoints, SearchParams
from mudar.index.types import Bools, Ints, SearchRequest

log = logging.getLogger(__name__)

EXACT_ROWS = 50_000
QUERIES = 400
_QUERIES_OF_HUNDRED = 60  # for recall of the first 100, which is a mean of more answers
_SPARE = 0.003  # the recall is a mean over some queries, and others will be asked: aim higher, for both halves of them
_TRIES = 3
_BESIDE = 1 / 16  # of the rows in lists: so many beside them are put in
_TIMES = 2  # so many times the rows that lists were made for, or so few, and they are made anew
_REFINE_K = (128, 256, 512, 1024, 2048, 4096)
_MORE_SIZES = 4
_FEWEST, _STEP = 1 / 64, 1.3  # the least share of the lists that is tried; from one share to the next
_BLOCK_ROWS = 16_384
_ENDS = 0.08  # of λ, where lists by one part alone are likely the best


@dataclass(frozen=True)
class IndexBuilder:
    """Chooses what an index of some size needs.

    exact_rows: above so many rows an index is searched approximately; device: puts exact indexes on a GPU.
    """

    exact_rows: int = EXACT_ROWS
    device: Device | None = None

    def grow(self, index: HybridIndex, queries: Sequence[SearchRequest] = ()) -> bool:
        """Takes the next step, beside searches and changes; says whether there was one.

        queries: what recall is measured with, best of the other kind, as real ones are; default: own rows.
        """
        now = index.freeze()
        if now.base is None:
            if now.table.live > self.exact_rows and make_approximate(index, queries):
                return True
        elif _resized(now):
            return make_approximate(index, queries)
        elif len(now.exact) > max(ACCELERATE_FROM_ROWS, _BESIDE * len(now.base)):
            return extend(index) or make_approximate(index, queries)
        return add_acceleration(index, self.device)


def held_out(index: HybridIndex, count: int = QUERIES) -> list[SearchRequest]:
    """Takes rows of an index, evenly from all of it, as queries."""
    now = index.freeze()
    live = np.flatnonzero(now.table.alive)
    if not len(live):
        return []
    rows = now.vectors(live[np.linspace(0, len(live) - 1, min(count, len(live))).astype(int)]).copy()
    for part in (rows[:, : now.split], rows[:, now.split :]):  # rounding to float16 may take a norm above 1
        part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1.0)
    start_s = np.zeros(1, np.float32)
    return [SearchRequest(row[None, : now.split], row[None, now.split :], start_s) for row in rows]


def add_acceleration(index: HybridIndex, device: Device | None = None) -> bool:
    """Accelerates the exact rows if they have grown enough; says whether that was tried."""
    for _ in range(_TRIES):
        now = index.freeze()
        if not now.exact.wants_acceleration:
            return False
        if index.swap_exact(now, accelerate(now.exact, device if now.base is None else None)):
            return True
    return False


def extend(index: HybridIndex) -> bool:
    """Puts the rows beside the lists into a copy of these; says whether it did: not when the axes cannot show them."""
    now = index.freeze()
    if now.base is None:
        return False
    larger = now.base.extended(now.exact.vectors, now.table.alive[len(now.base) :])
    return larger.lost <= LOST and index.swap_base(now, larger, np.arange(len(now.table)))


def make_approximate(index: HybridIndex, queries: Sequence[SearchRequest] = (), lists: int | None = None) -> bool:
    """Puts all rows into new lists, and chooses the operating points; says whether it did.

    False when there are too few rows to make lists of, or rows got other numbers all the time.
    """
    for _ in range(_TRIES):
        now = index.freeze()
        count = lists or lists_for(now.table.live)
        if now.table.live < 4 * count:
            return False
        if now.base is None:
            now = replace(now, exact=accelerate(now.exact))  # the true answers are found sooner
        requests = list(queries) or held_out(index)
        live = np.flatnonzero(now.table.alive)
        base = _made(now, live, count)
        base = replace(base, points=autotune(base, now, live, requests), _refined=[])
        if index.swap_base(now, base, live):
            return True
        log.info("rows got other numbers while lists were made of them; once more")
    return False


def _resized(now: IndexSnapshot) -> bool:
    """Whether there are many rows more, or less, than the lists were made for."""
    base, live = now.base, now.table.live
    return base is not None and not base.points.rows / _TIMES <= live <= base.points.rows * _TIMES


def _made(now: IndexSnapshot, live: Ints, lists: int) -> IvfIndex:
    stride = max(1, len(live) // min(TRAIN_ROWS, ROWS_A_LIST * lists))
    sample = now.vectors(np.random.default_rng(lists).permutation(live[::stride]))
    blocks = (now.vectors(live[start : start + _BLOCK_ROWS]) for start in range(0, len(live), _BLOCK_ROWS))
    return train(sample, now.split, lists).filled((rows, np.ones(len(rows), bool)) for rows in blocks)


def autotune(base: IvfIndex, exact: IndexSnapshot, live: Ints, queries: list[SearchRequest]) -> OperatingPoints:
    """Finds the cheapest SearchParams that hold the floor at each λ, for 10 and 100 items, in each IVF index.

    base: the rows `live` of `exact`, which gives the true answers.
    """
    points, codes = OperatingPoints({}, {}, len(base), base.nlist), exact.table.codes[live]
    for k in (TEN, HUNDRED):
        points.params[k], points.recall[k] = [], []
        for lam in LAMBDAS:
            requests = at(queries if k == TEN else queries[:_QUERIES_OF_HUNDRED], lam, k)
            true = [
                [exact.table.code_of[id_] for id_ in results.item_ids] for results in exact.search(requests, ALL_ROWS)
            ]
            trials = _Trials(base, codes, requests, true, points)
            order = sorted((BY_EMBEDDING, BY_RHYTHM, BY_BOTH), key=lambda by: by != _likely(lam))
            chosen = {by: trials.cheapest(by) for by in order}
            points.params[k].append([chosen[by] for by in sorted(chosen)])
            points.recall[k].append(trials.recall(min(points.params[k][-1], key=points.cost)))
    return points


def _likely(lam: float) -> int:
    """Guesses which lists are the cheapest at this λ."""
    return BY_RHYTHM if lam < _ENDS else BY_EMBEDDING if lam > 1 - _ENDS else BY_BOTH


class _Trials:
    """Measures recall at one λ and k: the share of the true first items whose rows the lists show."""

    def __init__(
        self, base: IvfIndex, codes: NDArray[np.int32], requests: list[SearchRequest], true: list[list[int]],
        points: OperatingPoints,
    ) -> None:  # fmt: skip
        self._base, self._codes, self._points, self._depth = base, codes, points, ROWS_AN_ITEM * requests[0].k
        self._queries = np.concatenate([request.vectors() for request in requests])
        self._request = np.repeat(np.arange(len(requests)), [len(request.embeddings) for request in requests])
        self._items = int(codes.max()) + 1
        self._true = np.concatenate([np.array(each, np.int64) + self._items * n for n, each in enumerate(true)])
        self._known: dict[SearchParams, Bools] = {}
        self._least = float("inf")  # the cost of the best so far, in any lists

    def cheapest(self, by: int) -> SearchParams:
        """Finds the fewest lists that suffice at a large refine_k, then less refine_k for these or for a few more.

        All lists and all their rows, when nothing less suffices or other lists are surely cheaper.
        """
        lists, cost = self._points.lists, self._points.cost
        steps = range(int(np.ceil(-np.log(_FEWEST) / np.log(_STEP))) + 1)
        sizes = sorted({min(max(1, round(_FEWEST * lists * _STEP**step)), lists) for step in steps})
        sizes = [size for size in sizes if cost(SearchParams(size, _REFINE_K[0], by)) < self._least]
        low = bisect_left(sizes, True, key=lambda size: self._suffices(SearchParams(size, _REFINE_K[-1], by)))
        best, left = SearchParams(lists, self._points.rows, by), list(_REFINE_K)
        for size in sizes[low : low + _MORE_SIZES]:
            while left and self._suffices(params := SearchParams(size, left[-1], by)):
                left.pop()
                best = min(best, params, key=cost)
        self._least = min(self._least, cost(best))
        return best

    def _suffices(self, params: SearchParams) -> bool:
        """Whether both halves of the queries find enough."""
        shown, half = self._shown(params), self._true // self._items % 2 == 0
        return min(shown[half].mean(), shown[~half].mean() if len(self._request) > 1 else 1.0) >= FLOOR + _SPARE

    def recall(self, params: SearchParams) -> float:
        """Gives the share of the true items that are found with these parameters."""
        return float(self._shown(params).mean())

    def _shown(self, params: SearchParams) -> Bools:
        if params not in self._known:
            hits = self._base.search(self._queries, self._depth, params, None)
            self._known[params] = np.isin(self._true, self._codes[hits.row] + self._items * self._request[hits.query])
        return self._known[params]


def at(requests: Sequence[SearchRequest], lam: float, k: int) -> list[SearchRequest]:
    """Copies requests, with another λ and k."""
    return [replace(request, lam=lam, k=k) for request in requests]
