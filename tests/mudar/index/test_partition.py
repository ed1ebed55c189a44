"""How many codes a row has in its list: so many as its spectrum needs, and no more than it may have."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.index import partition, turned
from mudar.index.partition import BOTH, DIVISIONS, EMBEDDING, RHYTHM

E_DIM, R_DIM, LISTS = 128, 64, 16


def rows(axes: int, count: int = 4000) -> np.ndarray:
    """(N, D) rows of norm 1 in each part, each part along so many axes."""
    rng = np.random.default_rng(axes)
    parts = []
    for width in (E_DIM, R_DIM):
        basis = np.linalg.qr(rng.standard_normal((width, width)))[0][: min(axes, width)]
        part = rng.standard_normal((count, len(basis))) @ basis
        parts.append(part / np.linalg.norm(part, axis=1, keepdims=True))
    return np.hstack(parts).astype(np.float32)


def made(axes: int, division: int) -> partition.Partition:
    turn = turned.fit(rows(axes), E_DIM)
    return partition.train(np.ascontiguousarray(turn(rows(axes))), turn, DIVISIONS[division], LISTS)


@pytest.mark.parametrize("division", [RHYTHM, BOTH])
def test_rows_of_few_axes_have_few_codes(division: int) -> None:
    costs = [made(axes, division).cost for axes in (4, 14, 64)]
    assert costs[0] < costs[1] < costs[2]
    assert costs[0] == 0.625  # 16 codes of 4 bits: 8 bytes
    assert costs[2] == 1.0  # all 64


def test_lists_by_embeddings_have_a_byte_an_axis() -> None:
    assert made(4, EMBEDDING).cost == made(64, EMBEDDING).cost == 4.0


def test_few_codes_find_the_nearest() -> None:
    asked, held = rows(6)[:20], rows(6)
    turn = turned.fit(held, E_DIM)
    lists = partition.train(np.ascontiguousarray(turn(held)), turn, DIVISIONS[RHYTHM], LISTS)
    lists.add(np.ascontiguousarray(turn(held)), np.arange(len(held)))
    asked = np.hstack([0 * asked[:, :E_DIM], asked[:, E_DIM:]])
    queries = np.hstack([np.zeros((20, turn.split), np.float32), asked[:, E_DIM:] @ turn.rhythm])
    _, found = lists.index.search(queries, 20, params=lists.effort(LISTS))
    best = np.argsort(-(asked[:, E_DIM:] @ held[:, E_DIM:].T), axis=1)[:, :3]
    assert np.mean([len(set(a) & set(b)) / 3 for a, b in zip(best, found, strict=True)]) > 0.9
