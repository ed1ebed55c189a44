"""Tiles against numpy's matrix product: the best of every run of rows, and which rows they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.index import tiles

NARROW = "+avx2,+fma,+avx,+sse4.2,+sse4.1,+ssse3,+sse3,+sse2,+sse"  # of a processor with 16 registers of 8 numbers


def kept(rows: np.ndarray, column: int, first: int, queries: np.ndarray) -> np.ndarray:
    """(Q, S, KEPT) by tiles, of the rows from `first` on."""
    asked = tiles.packed(queries)
    best = np.empty((tiles.KEPT, len(asked), -(-(len(rows) - first) // tiles.RUN), tiles.LANES), np.float32)
    tiles.fill(rows, column, first, asked, best)
    return best.transpose(1, 3, 2, 0).reshape(-1, best.shape[2], tiles.KEPT)[: len(queries)]


def check(rows: np.ndarray, column: int, first: int, queries: np.ndarray) -> None:
    """Against the product, row by row."""
    found = kept(rows, column, first, queries)
    product = queries @ rows[:, column : column + queries.shape[1]].T
    slip = 4e-6 * max(float(np.abs(product).max()), 1e-30)
    for run in range(found.shape[1]):
        start = min(first + run * tiles.RUN, len(rows) - tiles.RUN)
        mine = product[:, start : start + tiles.RUN]
        np.testing.assert_allclose(found[:, run], -np.sort(-mine, axis=1)[:, : tiles.KEPT], rtol=0, atol=slip)
        told = found[:, run, :-1].copy().view(np.int32) & (tiles.RUN - 1)
        assert (told[:, 0] != told[:, 1]).all()
        np.testing.assert_allclose(np.take_along_axis(mine, told, axis=1), found[:, run, :-1], rtol=0, atol=slip)


@settings(max_examples=60)
@given(
    count=st.integers(tiles.RUN, 5 * tiles.RUN),
    width=st.integers(1, 40),
    queries=st.integers(1, 2 * tiles.LANES + 1),
    column=st.integers(0, 3),
    distinct=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_the_best_of_each_run_is_kept(
    count: int, width: int, queries: int, column: int, distinct: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, column + width + 2)).astype(np.float32)
    if not distinct:  # equal rows: any of them may be told of, but not one twice
        rows = rows[rng.integers(0, 2, count)]
    asked = rng.standard_normal((queries, width)).astype(np.float32)
    check(rows, column, int(rng.integers(0, count - tiles.RUN + 1)) // tiles.RUN * tiles.RUN, asked)


@pytest.mark.skipif(tiles.LANES == 8, reason="this processor is a narrow one")
def test_a_processor_with_narrow_vectors_keeps_the_same(tmp_path: Path) -> None:
    told = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": NARROW, "NUMBA_CACHE_DIR": str(tmp_path)}
    work = "\n".join([
        "import numpy as np; from tests.mudar.index import test_tiles as t; assert t.tiles.LANES == 8",
        "rng = np.random.default_rng(0); unit = lambda *s: rng.standard_normal(s).astype(np.float32)",
        "t.check(unit(70, 12), 2, 16, unit(19, 9))",
        "from mudar.index import compiled; assert compiled.load()",
    ])  # fmt: skip
    subprocess.run([sys.executable, "-c", work], check=True, env={**os.environ, **told}, timeout=300)
