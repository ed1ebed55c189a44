"""The index against the two matrices of the formula, at every λ, whatever is filtered, tied, removed or added."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.errors import OutOfRange
from mudar.index.hybrid import HybridIndex
from mudar.index.results import SearchHit

LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
E_DIM, R_DIM = 24, 8


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """(n, d) of norm 1."""
    x = rng.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


class Library:
    """Random segments of random items, and the explicit two-matrix ranking of them."""

    def __init__(self, seed: int, items: int = 40, longest: int = 7, distinct: int | None = None) -> None:
        rng = np.random.default_rng(seed)
        counts = rng.integers(1, longest + 1, items)
        self.names = [f"i{i:05d}" for i, n in enumerate(counts) for _ in range(n)]
        self.start_s = np.concatenate([4.0 * np.arange(n) for n in counts]).astype(np.float32)
        n = len(self.names)
        self.e, self.r = unit(rng, n, E_DIM), unit(rng, n, R_DIM)
        if distinct is not None:  # copies, so that many scores are equal
            which = rng.integers(0, distinct, n)
            self.e, self.r = self.e[which % n], self.r[which % n]
        self.order = rng.permutation(n)  # items lie scattered over the rows
        self.query_e, self.query_r = unit(rng, 5, E_DIM), unit(rng, 5, R_DIM)
        self.query_s = 4.0 * np.arange(5)

    def index(self) -> HybridIndex:
        """All of it, added in three parts."""
        index = HybridIndex(E_DIM, R_DIM)
        for part in np.array_split(self.order, 3):
            index.add(part, [self.names[i] for i in part], self.e[part], self.r[part], self.start_s[part])
        return index

    def ranking(self, lam: float, k: int, allow: Collection[str]) -> list[SearchHit]:
        """Sorted lists of Python, float64, no FAISS."""
        e = self.query_e.astype(float) @ self.e.astype(float).T
        r = self.query_r.astype(float) @ self.r.astype(float).T
        score = lam * e + (1 - lam) * r
        best: dict[str, tuple[float, ...]] = {}
        for i, name in enumerate(self.names):
            for q in range(len(self.query_s)):
                key = (-round(score[q, i], 9), self.query_s[q], float(self.start_s[i]), e[q, i], r[q, i])
                if name in allow and (name not in best or key < best[name]):
                    best[name] = key
        ranked = sorted((key[0], name, key) for name, key in best.items())[:k]
        return [SearchHit(name, -key[0], key[3], key[4], key[2], key[1]) for _, name, key in ranked]

    def check(
        self,
        index: HybridIndex,
        lam: float,
        k: int,
        exclude: Collection[str] = (),
        allow: Collection[str] | None = None,
    ) -> None:
        """Same items in the same order, same seconds, same scores."""
        names = (set(self.names) if allow is None else set(allow)) - set(exclude)
        expected = self.ranking(lam, k, names)
        results = index.search(
            self.query_e, self.query_r, lam, k, query_start_s=self.query_s, exclude=exclude, allow=allow
        )
        assert [m.item_id for m in results] == [m.item_id for m in expected]
        for a, b in zip(results, expected, strict=True):
            assert (a.start_s, a.query_start_s) == (b.start_s, b.query_start_s)
            np.testing.assert_allclose(
                [a.score, a.embedding_score, a.rhythm_score], [b.score, b.embedding_score, b.rhythm_score], atol=1e-6
            )
            assert abs(a.score - (lam * a.embedding_score + (1 - lam) * a.rhythm_score)) < 1e-9


@pytest.mark.slow
@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    lam=st.one_of(st.sampled_from(LAMBDAS), st.floats(0, 1)),
    k=st.integers(1, 60),
    distinct=st.sampled_from([None, 1, 2, 9]),
    data=st.data(),
)
def test_the_ranking_is_that_of_the_two_matrices(
    seed: int, lam: float, k: int, distinct: int | None, data: st.DataObject
) -> None:
    library = Library(seed, distinct=distinct)
    some = st.sets(st.sampled_from(sorted(set(library.names))), max_size=20)
    library.check(library.index(), lam, k, data.draw(some), data.draw(st.one_of(st.none(), some)))


@pytest.mark.parametrize("lam", LAMBDAS)
def test_long_items_do_not_push_others_out(lam: float) -> None:
    """One item with thousands of the best segments must not fill the list that the ten best come from."""
    library = Library(3, items=30, longest=3)
    index = library.index()
    n = 3000
    index.add(
        np.arange(n),
        ["zz"] * n,
        np.repeat(library.query_e[:1], n, 0),
        np.repeat(library.query_r[:1], n, 0),
        np.zeros(n),
    )
    results = index.search(library.query_e, library.query_r, lam, 10)
    assert results[0].item_id == "zz"
    assert results[0].score == pytest.approx(1, abs=1e-6)
    assert [m.item_id for m in results[1:]] == [m.item_id for m in library.ranking(lam, 9, set(library.names))]


@pytest.mark.slow
def test_a_library_of_copies_is_ranked_by_id() -> None:
    """Every pair has the same score: no list is long enough, so all are looked at, and order is still fixed."""
    rng, n = np.random.default_rng(0), 9000
    e, r = np.repeat(unit(rng, 1, E_DIM), n, 0), np.repeat(unit(rng, 1, R_DIM), n, 0)
    index = HybridIndex(E_DIM, R_DIM)
    shuffled = rng.permutation(n)
    index.add(shuffled, [f"i{i:05d}" for i in shuffled], e, r, np.zeros(n))
    results = index.search(e[:300], r[:300], 0.3, 5)
    assert [m.item_id for m in results] == [f"i{i:05d}" for i in range(5)]


def test_removing_and_replacing_leave_exactly_the_rest() -> None:
    library = Library(5)
    index, names = library.index(), sorted(set(library.names))
    gone = set(names[::3])
    for name in sorted(gone):
        index.remove(name)
    index.remove("nobody")
    assert index.item_ids() == set(names) - gone
    assert len(index) == sum(name not in gone for name in library.names)
    for lam in LAMBDAS:
        library.check(index, lam, 50, exclude=gone)
    back = [i for i, name in enumerate(library.names) if name in gone]
    again = names[1::3]
    rows = back + [i for i, name in enumerate(library.names) if name in again]
    columns = (rows, [library.names[i] for i in rows], library.e[rows], library.r[rows], library.start_s[rows])
    index.replace(again, *columns)
    for lam in LAMBDAS:
        library.check(index, lam, 50)


def test_an_empty_index_and_a_filter_that_matches_nothing_find_nothing() -> None:
    library = Library(1)
    assert HybridIndex(E_DIM, R_DIM).search(library.query_e, library.query_r, 0.5, 3) == []
    index = library.index()
    assert index.search(library.query_e, library.query_r, 0.5, 3, allow=set()) == []
    assert index.search(library.query_e, library.query_r, 0.5, 3, exclude=set(library.names)) == []
    for name in set(library.names):
        index.remove(name)
    assert index.search(library.query_e, library.query_r, 0.5, 3) == []
    assert len(index) == index.item_count == 0


@pytest.mark.parametrize(("lam", "k"), [(-0.01, 1), (1.01, 1), (float("nan"), 1), (0.5, 0), (0.5, -3)])
def test_questions_out_of_range_are_refused(lam: float, k: int) -> None:
    library = Library(1)
    with pytest.raises(OutOfRange):
        library.index().search(library.query_e, library.query_r, lam, k)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.0])
def test_vectors_that_would_break_the_ranking_are_refused(value: float) -> None:
    index = HybridIndex(E_DIM, R_DIM)
    with pytest.raises(ValueError, match="finite and of norm"):
        index.add([1], ["a"], np.full((1, E_DIM), value, np.float32), np.zeros((1, R_DIM), np.float32), [0.0])
    with pytest.raises(ValueError, match="24 \\+ 8"):
        index.add([1], ["a"], np.zeros((1, R_DIM), np.float32), np.zeros((1, E_DIM), np.float32), [0.0])
    assert len(index) == 0


def test_searches_beside_changes_see_whole_items() -> None:
    """An item is replaced all the time; every search finds it once, in one of its two forms."""
    rng = np.random.default_rng(2)
    forms = [(unit(rng, n, E_DIM), unit(rng, n, R_DIM)) for n in (3, 5)]
    library = Library(9)
    index, over = library.index(), threading.Event()

    def put(turn: int) -> None:
        e, r = forms[turn % 2]
        index.replace(["x"], np.arange(len(e)), ["x"] * len(e), e, r, np.zeros(len(e)))

    put(0)
    expected = {
        max(0.5 * (library.query_e @ e.T) + 0.5 * (library.query_r @ r.T), key=lambda a: a.max()).max().round(4)
        for e, r in forms
    }

    def change() -> None:
        turn = 1
        while not over.is_set():
            put(turn)
            turn += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            (match,) = index.search(library.query_e, library.query_r, 0.5, 3, allow={"x"})
            assert np.float32(match.score).round(4) in expected
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_the_front_door_may_import_it_without_torch() -> None:
    code = (
        "import sys, mudar.index.hybrid, mudar.index.snapshot;"
        "import mudar.library.search.index_replica, mudar.library.blob_gc;"
        "print([m for m in ('torch', 'librosa', 'cv2', 'av', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
