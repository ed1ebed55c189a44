"""Rows on a card: the same answers as without, whatever it names. FAISS's CPU index stands where the card's would:
the same class and calls. tests/gpu/check_index.py asks a real card."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest

from mudar.errors import IndexUnavailable
from mudar.index import builder
from mudar.index.exact import ACCELERATE_FROM_ROWS
from mudar.index.gpu import to_device
from mudar.index.hybrid import HybridIndex
from mudar.index.tuning import LAMBDAS
from mudar.index.types import SearchRequest
from tests.answers import at, same

E_DIM, R_DIM, SEGMENTS = 24, 8, 4
ROWS = 2 * ACCELERATE_FROM_ROWS


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def library(copies: bool = False) -> HybridIndex:
    rng, index = np.random.default_rng(4), HybridIndex(E_DIM, R_DIM)
    e, r = unit(rng, ROWS, E_DIM), unit(rng, ROWS, R_DIM)
    if copies:  # more rows of one score than the card names
        e[:1500], r[:1500] = e[0], r[0]
    index.add(np.arange(ROWS), [f"i{row // SEGMENTS:05d}" for row in range(ROWS)], e, r, np.zeros(ROWS))
    return index


def questions(count: int = 30) -> list[SearchRequest]:
    rng = np.random.default_rng(5)
    many = SearchRequest(unit(rng, 3, E_DIM), unit(rng, 3, R_DIM), [0.0, 4.0, 8.0])
    return [SearchRequest(unit(rng, 1, E_DIM), unit(rng, 1, R_DIM), [0.0]) for _ in range(count)] + [many]


class Counting:
    """An index that counts what it is asked."""

    def __init__(self, index: Any) -> None:
        self._index, self.requests = index, 0

    def __getattr__(self, name: str) -> Any:
        self.requests += name == "search"
        return getattr(self._index, name)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [False, True])
def test_a_card_changes_no_answer(copies: bool) -> None:
    plain, index, requests = library(copies), library(copies), questions()
    if copies:
        rows = plain.freeze().exact.vectors
        requests.append(SearchRequest(rows[:1, :E_DIM].copy(), rows[:1, E_DIM:].copy(), [0.0]))
    made: list[Counting] = []

    def device(empty: Any) -> Any:
        made.append(Counting(empty))
        return made[-1]

    assert builder.add_acceleration(index, device)
    assert not builder.add_acceleration(index, device)
    for lam in LAMBDAS:
        for k in (1, 10, 100):
            expected = plain.search_many(at(requests, lam, k))
            assert same(index.search_many(at(requests, lam, k)), expected)
            assert same([index.search_many(at([q], lam, k))[0] for q in requests[-3:]], expected[-3:])
    assert made[0].requests >= 2 * len(LAMBDAS) * 3


def test_rows_that_come_are_on_the_card_and_rows_that_go_take_it_off() -> None:
    plain, index, requests = library(), library(), questions(10)
    assert builder.add_acceleration(index, lambda empty: empty)
    rng = np.random.default_rng(6)
    more = (np.arange(40), [f"new{n:02d}" for n in range(40)], unit(rng, 40, E_DIM), unit(rng, 40, R_DIM), np.zeros(40))
    for each in (plain, index):
        each.add(*more)
    assert same(index.search_many(at(requests, 0.5, 10)), plain.search_many(at(requests, 0.5, 10)))
    exclude = {"new03", "i00007"}
    without = [each.search_many(at(requests, 0.5, 10, exclude=exclude)) for each in (index, plain)]
    assert same(*without)
    for each in (plain, index):
        each.remove("i00003")
    assert same(index.search_many(at(requests, 0.5, 10)), plain.search_many(at(requests, 0.5, 10)))


@pytest.mark.skipif(hasattr(faiss, "StandardGpuResources"), reason="this FAISS knows cards")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_card_that_is_not_there_is_said(device: str) -> None:
    assert to_device("cpu") is None
    with pytest.raises(IndexUnavailable, match=f"{device}, but FAISS sees 0") as refused:
        to_device(device)
    assert "MUDAR_INDEX_DEVICE=cpu" in refused.value.hint
