"""An exact index loses nothing, lists lose little: both against a plain float64 ranking, while rows come and go."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest

from mudar.index import builder, exact
from mudar.index.exact import ACCELERATE_FROM_ROWS, BlockPCA
from mudar.index.hybrid import HybridIndex
from mudar.index.snapshot import SnapshotHeader, SnapshotUnusable, load, save
from mudar.index.tuning import ALL_ROWS, FLOOR, LAMBDAS, OperatingPoints, SearchParams
from mudar.index.types import SearchRequest
from tests.answers import at

pytestmark = pytest.mark.slow

E_DIM, R_DIM, SEGMENTS = 48, 16, 4
ROWS = 3 * ACCELERATE_FROM_ROWS


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of norm 1."""
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def rows_like(kind: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, E) and (n, R): of few dimensions, in clumps, as a network's are; or uniform, on which no sketch helps."""
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return unit(rng.normal(size=(n, E_DIM))), unit(rng.normal(size=(n, R_DIM)))
    basis = np.random.default_rng(99)
    axes = [basis.normal(size=(8, d)) for d in (E_DIM, R_DIM)]
    clumps = basis.normal(size=(50, 8))[rng.integers(0, 50, -(-n // SEGMENTS))].repeat(SEGMENTS, 0)[:n]
    e, r = (unit((clumps + 0.5 * rng.normal(size=(n, 8))) @ a + 0.05 * rng.normal(size=(n, a.shape[1]))) for a in axes)
    return e, r


def build(kind: str, n: int = ROWS) -> tuple[HybridIndex, list[str], np.ndarray, np.ndarray]:
    e, r = rows_like(kind, n, 1)
    names = [f"i{row // SEGMENTS:05d}" for row in range(n)]
    index = HybridIndex(E_DIM, R_DIM)
    index.add(np.arange(n), names, e, r, np.zeros(n))
    return index, names, e, r


def true_first(
    names: list[str], e: np.ndarray, r: np.ndarray, query: SearchRequest, lam: float, k: int, gone: set[str]
) -> list[str]:
    """The k best items by both matrices in float64."""
    score = lam * (query.embeddings.astype(float) @ e.astype(float).T)
    score += (1 - lam) * (query.rhythms.astype(float) @ r.astype(float).T)
    results: dict[str, None] = {}
    for row in np.argsort(-score.max(axis=0), kind="stable"):
        if names[row] not in gone:
            results[names[row]] = None
        if len(results) == k:
            break
    return list(results)


@pytest.mark.parametrize("kind", ["clumps", "uniform"])
@pytest.mark.parametrize("quicker", [True, False])
def test_acceleration_changes_nothing(kind: str, quicker: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_quicker", lambda *_: quicker)  # how a short test would end, which is chance here
    index, names, e, r = build(kind)
    assert builder.add_acceleration(index)
    assert not builder.add_acceleration(index)
    assert (index.freeze().exact.accelerated is not None) == quicker
    gone = set(names[: 10 * SEGMENTS : SEGMENTS])
    for name in gone:
        index.remove(name)
    back = sorted(gone)[:3]
    rows = [row for row, name in enumerate(names) if name in back]
    index.add(rows, [names[row] for row in rows], e[rows], r[rows], np.zeros(len(rows)))
    gone -= set(back)
    qe, qr = rows_like(kind, 24, 2)
    queries = [SearchRequest(qe[i : i + 1], qr[i : i + 1], [0.0]) for i in range(20)]
    queries.append(SearchRequest(qe[20:], qr[20:], [0.0, 4.0, 8.0, 12.0]))
    excluded = set(names[100:140])
    mixed = list(itertools.islice(itertools.cycle(LAMBDAS), len(queries)))
    assert index.search_many(at(queries, mixed, 10)) == [
        index.search_many(at([query], lam, 10))[0] for query, lam in zip(queries, mixed, strict=True)
    ]
    few, deep = (index.search_many(at(queries, mixed, k, exclude=excluded)) for k in (10, 60))
    assert [m.item_id for m in deep[3]] == true_first(names, e, r, queries[3], mixed[3], 60, gone | excluded)
    for k, each in ((10, few), (60, deep)):
        assert index.search_many(at(5 * queries, 5 * mixed, k, exclude=excluded)) == 5 * each
    for lam in LAMBDAS:
        batched = index.search_many(at(queries, lam, 10))
        for query, results in zip(queries, batched, strict=True):
            assert [m.item_id for m in results] == true_first(names, e, r, query, lam, 10, gone)
            assert results == index.search_many(at([query], lam, 10))[0]
        (results,) = index.search_many(at(queries[:1], lam, 10, exclude=excluded))
        assert [m.item_id for m in results] == true_first(names, e, r, queries[0], lam, 10, gone | excluded)


def test_a_block_pca_keeps_every_score_and_puts_what_weighs_most_first() -> None:
    e, r = rows_like("clumps", 500, 3)
    rows = np.hstack([e, r])
    for compact in (False, True):
        rotation = BlockPCA.fit(rows, E_DIM, compact=compact)
        rotated = rotation.rotate(rows)
        for lam in (0.0, 0.3, 1.0):
            q = np.hstack([lam * e[:50], (1 - lam) * r[:50]]).astype(np.float32)
            np.testing.assert_allclose(
                rotation.queries(q) @ rotated.T + (q @ rotation.mean)[:, None], q @ rows.T, atol=1e-5
            )
        np.testing.assert_allclose(rotation.back(rotated), rows, atol=1e-5)
    energy = np.square(BlockPCA.fit(rows, E_DIM).rotate(rows)).sum(axis=0)
    assert (np.diff(energy) <= 1e-3).all()


@pytest.fixture(scope="module")
def approximate() -> tuple[HybridIndex, list[str], np.ndarray, np.ndarray]:
    """An index that was put into lists while items were removed, changed and added."""
    index, names, e, r = build("clumps")
    changing, queries = threading.Event(), builder.held_out(index, 20)

    def change() -> None:
        for step in range(30):
            name = f"i{step:05d}"
            rows = list(range(step * SEGMENTS, (step + 1) * SEGMENTS))
            columns = (rows, [name] * SEGMENTS, e[rows], r[rows], np.zeros(SEGMENTS))
            index.replace([name], *(columns if step % 3 else ([], [], e[:0], r[:0], [])))
            changing.set()

    answered, over = [0], threading.Event()

    def ask() -> None:
        while not over.is_set():
            results = index.search(e[-1:], r[-1:], 0.5, 3)
            assert results[0].item_id == names[-1]
            answered[0] += 1

    threads = [threading.Thread(target=work) for work in (change, ask)]
    for thread in threads:
        thread.start()
    changing.wait()
    assert builder.make_approximate(index, queries, lists=64)
    over.set()
    for thread in threads:
        thread.join()
    assert answered[0] > 20  # nobody waits for lists
    assert index.approximate
    return index, names, e, r


GONE = {f"i{step:05d}" for step in range(0, 30, 3)}


def test_lists_hold_the_floor_at_every_lambda(
    approximate: tuple[HybridIndex, list[str], np.ndarray, np.ndarray],
) -> None:
    index, names, e, r = approximate
    assert index.item_ids() == set(names) - GONE
    assert min(index.state().recall.values()) >= FLOOR - 1e-9
    qe, qr = rows_like("clumps", 60, 5)
    queries = [SearchRequest(qe[i : i + 1], qr[i : i + 1], [0.0]) for i in range(60)]
    for lam in LAMBDAS:
        hits = [
            len({m.item_id for m in results} & set(true_first(names, e, r, query, lam, 10, GONE)))
            for query, results in zip(queries, index.search_many(at(queries, lam, 10)), strict=True)
        ]
        assert sum(hits) / 600 >= 0.95  # of rows that tuning did not see; clusters differ with the number of threads
        every = index.search_alike(at(queries[:5], lam, 10), ALL_ROWS)
        for query, results in zip(queries, every, strict=False):  # float16 may swap what differs by less than 1e-3
            true = true_first(names, e, r, query, lam, 12, GONE)
            assert {m.item_id for m in results[:8]} <= set(true)


@pytest.mark.parametrize(("by", "lam"), [(0, 1.0), (1, 0.0), (2, 0.5)])
def test_codes_of_each_ivf_index_find_the_nearest_rows(
    approximate: tuple[HybridIndex, list[str], np.ndarray, np.ndarray], by: int, lam: float
) -> None:
    """Few rows are scored again, so that the codes themselves must rank them."""
    index, names, e, r = approximate
    qe, qr = rows_like("clumps", 30, 11)
    queries = [SearchRequest(qe[i : i + 1], qr[i : i + 1], [0.0], lam) for i in range(30)]
    answers = index.search_alike(queries, SearchParams(32, 160, by))
    shares = [
        len(set(answer.item_ids) & set(true_first(names, e, r, query, lam, 10, GONE))) / 10
        for query, answer in zip(queries, answers, strict=True)
    ]
    assert np.mean(shares) > 0.9


def test_rows_that_the_axes_of_lists_cannot_show_are_found_beside_them_and_in_new_lists() -> None:
    """Rows of few directions are held without the others, so rows that have these need new axes."""
    rng = np.random.default_rng(4)
    flat = np.zeros((2000, E_DIM), np.float32)
    flat[:, :8] = rng.normal(size=(2000, 8))
    e, (_, r) = unit(flat), rows_like("clumps", 2000, 4)
    index = HybridIndex(E_DIM, R_DIM)
    index.add(np.arange(2000), [f"i{row:05d}" for row in range(2000)], e, r, np.zeros(2000))
    assert builder.make_approximate(index, builder.held_out(index, 40), lists=16)
    index.remove("i00007")
    index.add([2000], ["like"], e[:1], r[:1], [0.0])
    assert builder.extend(index)
    assert len(index.freeze().exact) == 0
    assert {m.item_id for m in index.search(e[:1], r[:1], 0.5, 2)} == {"i00000", "like"}
    assert "i00007" not in index
    unlike = np.eye(E_DIM, dtype=np.float32)[-1:]
    index.add(range(2001, 2041), [f"unlike{row:02d}" for row in range(40)], unlike.repeat(40, 0), r[:40], np.zeros(40))
    before = index.search(unlike, r[3:4], 0.9, 1)
    assert before[0].item_id == "unlike03"
    assert not builder.extend(index)
    assert builder.make_approximate(index, builder.held_out(index, 40), lists=16)
    base = index.freeze().base
    assert base is not None
    assert base.rotation.of_embedding.sum() == 9
    assert index.search(unlike, r[3:4], 0.9, 1)[0].item_id == "unlike03"
    assert len(index) == 2040


def test_filters_lose_nothing_in_lists(approximate: tuple[HybridIndex, list[str], np.ndarray, np.ndarray]) -> None:
    index, names, *_ = approximate
    qe, qr = rows_like("clumps", 3, 8)
    few = set(sorted(set(names) - GONE)[::97])
    for i in range(3):
        results = index.search(qe[i : i + 1], qr[i : i + 1], 0.5, len(few), allow=few)
        assert {m.item_id for m in results} == few
        most = set(names) - few
        results = index.search(qe[i : i + 1], qr[i : i + 1], 0.5, 20, allow=most)
        assert len(results) == 20
        assert not few & {m.item_id for m in results}


def test_a_snapshot_of_lists_comes_back(
    approximate: tuple[HybridIndex, list[str], np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    index, *_ = approximate
    stamp = SnapshotHeader(1, "m@1", "dance", 5, 1.5)
    save(index, tmp_path / "x", stamp)
    loaded, covered = load(tmp_path / "x", stamp, E_DIM, R_DIM)
    assert (covered, loaded.state(), loaded.item_ids()) == (stamp, index.state(), index.item_ids())
    qe, qr = rows_like("clumps", 5, 9)
    for lam in LAMBDAS:
        assert loaded.search(qe, qr, lam, 10) == index.search(qe, qr, lam, 10)
    name = sorted(loaded.item_ids())[0]
    loaded.remove(name)
    assert name not in {m.item_id for m in loaded.search(qe, qr, 0.5, len(index))}
    content = (tmp_path / "x").read_bytes()
    for position in range(100, len(content), len(content) // 40):
        (tmp_path / "x").write_bytes(content[:position] + bytes([content[position] ^ 0x11]) + content[position + 1 :])
        with pytest.raises(SnapshotUnusable):
            load(tmp_path / "x", stamp, E_DIM, R_DIM)


def test_an_operating_point_is_the_cheapest_that_suffices_for_both_neighbours() -> None:
    by_embedding, by_rhythm = (90, 2, 3, 4, 5, 6, 8), (9, 20, 30, 40, 50, 60, 80)
    ten = [[SearchParams(e, 1, 0), SearchParams(r, 2, 1)] for e, r in zip(by_embedding, by_rhythm, strict=True)]
    points = OperatingPoints({10: ten, 100: [[SearchParams(10, 20)]] * 7}, {10: [1.0] * 7}, 100_000, 100)
    assert [points.at(lam, 10) for lam in (0.0, 0.1, 0.2, 1.0)] == [(9, 2, 1), (2, 1, 0), (3, 1, 0), (8, 1, 0)]
    assert points.at(0.05, 10) == (20, 2, 1)  # by embedding it would be 90 lists
    assert (points.at(0.5, 11), points.at(0.5, 101)) == ((10, 20, 0), (20, 40, 0))
    assert OperatingPoints.from_dict(points.to_dict()) == points
    assert OperatingPoints().at(0.5, 10).nprobe > 1 << 20
