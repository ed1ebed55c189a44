"""Makes an index fast as it grows: sieves above some rows, lists above many; beside searches and changes.

What comes next is made from a copy of the rows while searches and changes go on with the old ones; items that changed
meanwhile are noted and put in at last, under the lock, when the two change places. How many lists a search looks into
is chosen for each λ from the recall against exact answers to held-out queries. Knows numpy and FAISS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from mudar.index import compiled
from mudar.index.exact import SIEVE_FROM_ROWS, FlatRows, Sieves
from mudar.index.gpu import Card, Place
from mudar.index.hybrid import Frozen, HybridIndex, Moved
from mudar.index.ivf import TRAIN_ROWS, IvfRows, lists_for, train
from mudar.index.partition import BOTH, DIVISIONS, EMBEDDING, RHYTHM
from mudar.index.results import Matches
from mudar.index.rows import Columns
from mudar.index.tuning import EVERY, FLOOR, HUNDRED, LAMBDAS, TEN, Effort, Probes
from mudar.index.types import SearchRequest
from mudar.records import Array

log = logging.getLogger(__name__)

F = TypeVar("F", Card, Sieves)  # what is filled with rows

QUERIES = 400
_QUERIES_OF_HUNDRED = 60  # for recall of the first 100, which is a mean of more answers
_SPARE = 0.003  # the figure is a mean over some queries, and others will be asked: aim higher, for both halves of them
_SIEVE_SAMPLE = 20_000
_SEED = 7
_TRIES = 3
_DEPTHS = (128, 256, 512, 1024, 2048, 8192)
_ENDS = 0.08  # of λ, where lists by one part alone are likely the best
_ROWS_A_LIST = 64  # to place its middle with
_FEWEST = 64  # of so many lists, one is the least that is looked into
_STEP = 1.25  # from one number of lists that is tried to the next


def held_out(index: HybridIndex, count: int = QUERIES) -> list[SearchRequest]:
    """Rows of an index, evenly from all of it, as queries."""
    with index.lock.read():
        rows = index.rows
        if not len(rows):
            return []
        live = np.flatnonzero(index.columns.codes >= 0)
        chosen = live[np.linspace(0, len(live) - 1, min(count, len(live))).astype(int)]
        found = rows.turn.back(rows.vectors()[chosen]) if isinstance(rows, IvfRows) else rows.vectors()[chosen]
    split, start_s = index.embed_dim, np.zeros(1, np.float32)
    return [SearchRequest(row[None, :split], row[None, split:], start_s) for row in _within_one(found, split)]


def _within_one(rows: Array, split: int) -> Array:
    """The rows, scaled down where rounding to float16 took a part's norm above 1."""
    for part in (rows[:, :split], rows[:, split:]):
        part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1.0)
    return rows


def add_sieves(index: HybridIndex) -> bool:
    """Give an exact index the sieves that suit it, if it has grown enough; says whether it did."""
    rows = index.rows
    if not isinstance(rows, FlatRows) or not rows.wants_sieves:
        return False
    compiled.load()

    def empty(frozen: Frozen) -> Sieves:
        return Sieves(_sample(frozen, _SIEVE_SAMPLE), rows.split, len(frozen.codes))

    return _filled_beside(index, rows, empty, rows.take_sieves)


def add_card(index: HybridIndex, place: Place) -> bool:
    """Put the rows of an exact index on a graphics card as well, where they are many; says whether it did."""
    rows = index.rows
    if not isinstance(rows, FlatRows) or rows.card is not None or len(rows) < SIEVE_FROM_ROWS:
        return False
    return _filled_beside(index, rows, lambda frozen: Card(rows.dim, place), rows.take_card)


def _filled_beside(index: HybridIndex, rows: FlatRows, empty: Callable[[Frozen], F], take: Callable[[F], None]) -> bool:
    """Fill something with the rows beside searches and changes, and take it if none was moved; says whether it was."""
    for _ in range(_TRIES):
        frozen = index.freeze()
        try:
            made = empty(frozen)
            for block in frozen.blocks():
                made.add(block)
        except Moved:
            continue
        with index.lock.write():
            if index.moves == frozen.moves and index.rows is rows:
                take(made)
                return True
    return False


def make_approximate(index: HybridIndex, queries: Sequence[SearchRequest] = (), lists: int | None = None) -> bool:
    """Put the rows of an exact index into lists, and choose the probes; says whether it did.

    queries: what the recall is measured with, best of the other kind, as real questions are; default: own rows.
    False when there are too few rows to make lists of, or rows moved all the time.
    """
    for tries in range(_TRIES):
        try:
            return _made_approximate(index, list(queries) or held_out(index), lists, copy=tries == _TRIES - 1)
        except Moved:
            log.info("rows were removed while lists were made of them; once more")
        finally:
            index.touched = None
    return False


def _made_approximate(index: HybridIndex, queries: list[SearchRequest], lists: int | None, copy: bool) -> bool:
    with index.lock.write():
        index.touched = set()
    frozen = index.freeze(copy=copy)
    count = len(frozen.codes)
    lists = lists or lists_for(count)
    if frozen.in_lists is not None or count < 4 * lists:
        return False
    successor = HybridIndex(index.embed_dim, index.rhythm_dim)
    successor.rows = rows = train(_sample(frozen, min(TRAIN_ROWS, _ROWS_A_LIST * lists)), index.embed_dim, lists)
    rows.reserve(count)
    successor.columns = Columns.restored(frozen.names, frozen.codes, frozen.segment_ids, frozen.start_s)
    for block in frozen.blocks():
        rows.add(block)
    rows.lay_out()
    truth = {lam: index.search_many(asked_at(queries, lam, HUNDRED)) for lam in LAMBDAS}
    successor.probes = choose_probes(successor, queries, truth)
    with index.lock.write():
        _swap(index, successor)
    return True


def _sample(frozen: Frozen, wanted: int) -> Array:
    """Short runs of rows from all over."""
    run, count, rng = 16, len(frozen.codes), np.random.default_rng(_SEED)
    runs = -(-count // run)
    starts = np.sort(rng.choice(runs, min(runs, -(-wanted // run)), replace=False)) * run
    return np.concatenate([frozen.block(slice(int(s), min(int(s) + run, count))) for s in starts])


def _swap(index: HybridIndex, successor: HybridIndex) -> None:
    """Under the write lock: what changed meanwhile goes into the successor, whose rows and columns then are ours."""
    touched, old, flat = index.touched or set(), index.columns, index.rows
    if not isinstance(flat, FlatRows):
        raise Moved
    mine = np.flatnonzero(old.rows_of(touched, ()))
    codes, segment_ids, start_s = old.copies()
    names, rows, split = [old.names[code] for code in codes[mine]], flat.vectors()[mine], index.embed_dim
    successor.replace(touched, segment_ids[mine], names, rows[:, :split], rows[:, split:], start_s[mine])
    index.rows, index.columns, index.probes = successor.rows, successor.columns, successor.probes
    index.moves += 1


def outgrown(index: HybridIndex) -> bool:
    """Whether rows were added that the turned rows of its lists cannot show: it must be built anew from the rows."""
    return isinstance(index.rows, IvfRows) and index.rows.stray


def measure_again(index: HybridIndex, queries: Sequence[SearchRequest]) -> bool:
    """Choose the probes of an approximate index anew when it holds twice the rows they were chosen for."""
    rows = index.rows
    if not isinstance(rows, IvfRows) or len(rows) < 2 * index.probes.rows:
        return False
    asked = list(queries) or held_out(index)
    truth = {lam: index.search_many(asked_at(asked, lam, HUNDRED), EVERY) for lam in LAMBDAS}
    index.probes = choose_probes(index, asked, truth)
    return True


def choose_probes(index: HybridIndex, queries: list[SearchRequest], truth: dict[float, list[Matches]]) -> Probes:
    """The cheapest effort that holds the floor at each λ, for the first 10 and the first 100, in each division."""
    assert isinstance(index.rows, IvfRows)
    found = Probes(rows=len(index), lists=index.rows.lists, costs=tuple(part.cost for part in index.rows.partitions))
    for k in (TEN, HUNDRED):
        found.efforts[k], found.recall[k] = [], []
        for lam in LAMBDAS:
            some = slice(None, None if k == TEN else _QUERIES_OF_HUNDRED)
            tried = _Trial(index, queries[some], truth[lam][some], lam, k, found)
            order = sorted(range(len(DIVISIONS)), key=lambda division: division != _likely(lam))
            found_at = {division: tried.cheapest(division) for division in order}
            efforts = [found_at[division] for division in range(len(DIVISIONS))]
            found.efforts[k].append(efforts)
            found.recall[k].append(tried.recall(min(efforts, key=found.cost)))
    return found


def _likely(lam: float) -> int:
    """The division that is likely to be the cheapest at this λ."""
    return RHYTHM if lam < _ENDS else EMBEDDING if lam > 1 - _ENDS else BOTH


class _Trial:
    """Efforts at one λ and k, measured."""

    def __init__(
        self,
        index: HybridIndex,
        queries: list[SearchRequest],
        truth: list[Matches],
        lam: float,
        k: int,
        costs: Probes,
    ) -> None:
        self._asked, self._costs, self._known = (index, queries, truth, lam, k), costs, dict[Effort, list[float]]()
        self._least = float("inf")  # what the best effort so far costs, in any division

    def recall(self, effort: Effort) -> float:
        """Of all queries."""
        return float(np.mean(self._shares(effort)))

    def cheapest(self, division: int) -> Effort:
        """What does and costs least, nearly: few lists at a good depth, then less depth in these or a few lists more.

        All lists at the largest depth, when nothing does or the other division is surely cheaper.
        """
        lists = self._costs.lists
        sizes = sorted({min(max(1, round(lists / _FEWEST * _STEP**step)), lists) for step in range(24)})
        everything = Effort(lists, _DEPTHS[-1], division)
        for depth in _DEPTHS[-2:]:
            low, high = 0, len(sizes)  # the fewest lists that do lie in sizes[low:high]
            while low < high:
                middle = (low + high) // 2
                effort = Effort(sizes[middle], depth, division)
                if self._may_be_cheap(effort) and not self._does(effort):
                    low = middle + 1
                else:
                    high = middle
            if low < len(sizes) and self._may_be_cheap(Effort(sizes[low], depth, division)):
                found = Effort(sizes[low], depth, division)
                for fewer in (Effort(size, d, division) for size in sizes[low : low + 5] for d in _DEPTHS):
                    if self._costs.cost(fewer) < self._costs.cost(found) and self._does(fewer):
                        found = fewer
                found = self._between(found)
                self._least = min(self._least, self._costs.cost(found))
                return found
        return everything

    def _between(self, found: Effort) -> Effort:
        """The same at this depth with as few lists as do, to a twentieth; the sizes tried so far are a fourth apart."""
        low, high = found.lists / _STEP, float(found.lists)
        for _ in range(2):
            middle = (low * high) ** 0.5
            if self._does(found._replace(lists=round(middle))):
                high = middle
            else:
                low = middle
        return found._replace(lists=round(high))

    def _may_be_cheap(self, effort: Effort) -> bool:
        """Whether so many lists could be the cheapest way, were the least depth enough."""
        return self._costs.cost(effort._replace(depth=_DEPTHS[0])) < self._least

    def _does(self, effort: Effort) -> bool:
        """Whether both halves of the queries find enough."""
        shares = self._shares(effort)
        return min(float(np.mean(shares[::2])), float(np.mean(shares[1::2]))) >= FLOOR + _SPARE

    def _shares(self, effort: Effort) -> list[float]:
        if effort not in self._known:
            self._known[effort] = found_shares(*self._asked, effort)
        return self._known[effort]


def recall(
    index: HybridIndex,
    queries: Sequence[SearchRequest],
    truth: Sequence[Matches],
    lam: float,
    k: int,
    effort: Effort | None = None,
) -> float:
    """Mean share of the true first k items that a search (with this effort) finds."""
    shares = found_shares(index, queries, truth, lam, k, effort)
    return float(np.mean(shares)) if shares else 1.0


def found_shares(
    index: HybridIndex,
    queries: Sequence[SearchRequest],
    truth: Sequence[Matches],
    lam: float,
    k: int,
    effort: Effort | None = None,
) -> list[float]:
    """The same of each query."""
    answers = index.search_many(asked_at(queries, lam, k), effort)
    shares = []
    for answer, true in zip(answers, truth, strict=True):
        wanted = set(true.item_ids[:k])
        shares.append(len(wanted.intersection(answer.item_ids)) / max(len(wanted), 1))
    return shares


def asked_at(requests: Sequence[SearchRequest], lam: float, k: int) -> list[SearchRequest]:
    """The same requests at another λ and k."""
    return [replace(request, lam=lam, k=k) for request in requests]
