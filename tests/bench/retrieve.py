"""`make bench-retrieve`: search beside FAISS Flat, the two matrices, and other engines, in one run; JSON=1 gives lines.

    python -m tests.bench.retrieve [--sizes 200000] [--dims 320] [--data measured,crowded] [--no-exact] [--peers]

A million rows take 7 minutes and 10 GB for each number of dimensions, 200 000 one minute.

One thread. Times are seconds of this process's CPU (other engines, which may have threads of their own: wall), the
best of a few rounds in which the rivals take turns: the machine is shared. Each rival ends with the ids of the ten best
items; `with_parts` reads scores, their parts and the seconds too, which the two matrices do not give. Vectors are those
of vectors.py, which says how each kind is shaped. The two matrices are plain numpy: two products, weights,
argpartition, the best segment of each item. Same ids and order are checked against their float64. The effort of lists
is chosen with 400 questions, speed is of 200 others, and recall of these and 800 more: of 200 alone it is known to
.0025 only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from mudar.index import builder
from mudar.index.hybrid import HybridIndex
from mudar.index.snapshot import Stamp, load, save
from mudar.index.tuning import LAMBDAS
from tests.answers import at
from tests.bench import peers, vectors
from tests.bench.vectors import SEGMENTS, Vectors

K, BATCH, JUDGES = 10, 200, 1000
CHOOSE = builder.QUERIES
Record = dict[str, Any]


def cpu_s(*works: Callable[[], object], rounds: int = 3) -> list[float]:
    """Least CPU seconds of one call of each; they take turns."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for place, work in enumerate(works):
            started = time.process_time()
            work()
            best[place] = min(best[place], time.process_time() - started)
    return best


def two_matrices(v: Vectors, first: int, count: int, lam: float) -> list[list[int]]:
    """The ten best items of some queries as one would write it; 50 queries at a time, or the scores fill the memory."""
    found = []
    for start in range(first, first + count, 50):
        part = slice(start, min(start + 50, first + count))
        scores = lam * (v.query_embeddings[part] @ v.embeddings.T) + (1 - lam) * (v.query_rhythms[part] @ v.rhythms.T)
        depth = min(K * SEGMENTS, scores.shape[1])
        top = np.argpartition(scores, scores.shape[1] - depth, axis=1)[:, -depth:]
        for row, best in zip(scores, top, strict=True):
            found.append(list(dict.fromkeys(v.item[best[np.argsort(-row[best])]].tolist()))[:K])
    return found


def exactly(v: Vectors, lam: float) -> Iterator[list[str]]:
    """The ten best items of each of the first queries in float64, ties by id."""
    for start in range(0, BATCH, 20):
        e, r = v.query_embeddings[start : start + 20], v.query_rhythms[start : start + 20]
        scores = np.float32(lam) * (e @ v.embeddings.T) + np.float32(1 - lam) * (r @ v.rhythms.T)
        for row, q, s in zip(scores, e.astype(float), r.astype(float), strict=True):
            top = np.argpartition(row, max(len(row) - 400, 0))[-400:]
            sums = lam * (v.embeddings[top].astype(float) @ q) + (1 - lam) * (v.rhythms[top].astype(float) @ s)
            order = np.lexsort((v.item[top], -np.round(sums, 9)))
            yield [f"dance-{item:09d}" for item in list(dict.fromkeys(v.item[top[order]].tolist()))[:K]]


def flat_ms(v: Vectors) -> float:
    """Milliseconds that FAISS Flat takes for one query's list of 64 rows."""
    flat = faiss.IndexFlatIP(v.dim)
    for block in v.blocks():
        flat.add(block)
    q, some = np.hstack([0.5 * v.query_embeddings[:50], 0.5 * v.query_rhythms[:50]]), singles(v)
    (spent,) = cpu_s(lambda: [flat.search(q[i : i + 1], 64) for i in range(some)], rounds=5)
    return 1000 * spent / some


def singles(v: Vectors) -> int:
    """How many questions are asked one by one."""
    return int(np.clip(4_000_000 // len(v.item), 5, 50))


def exact_rows(v: Vectors, index: HybridIndex, flat: float) -> Iterator[Record]:
    """The exact index at every λ."""
    queries, some = [v.query(i) for i in range(BATCH)], singles(v)
    for lam in LAMBDAS:
        together = index.search_many(at(queries, lam, K))
        alone = [index.search_many(at([q], lam, K))[0] for q in queries]
        truth = list(exactly(v, lam))
        same = [[m.item_id for m in found] == true for each in (together, alone)
                for found, true in zip(each, truth, strict=True)]  # fmt: skip
        one, two = cpu_s(
            lambda lam=lam: [index.search_many(at([q], lam, K))[0].item_ids for q in queries[:some]],
            lambda lam=lam: [two_matrices(v, i, 1, lam) for i in range(some)],
            rounds=5,
        )
        rounds = int(np.clip(1_000_000 // len(v.item), 2, 20))  # few rows take milliseconds, and many turns
        (many, two_many), (whole, two_whole) = (
            cpu_s(
                lambda lam=lam, read=read: [read(found) for found in index.search_many(at(queries, lam, K))],
                lambda lam=lam: two_matrices(v, 0, BATCH, lam),
                rounds=rounds,
            )
            for read in (attrgetter("item_ids"), list)
        )
        yield {
            "mode": "exact",
            "lambda": lam,
            "ms": 1000 * one / some,
            "recall": float(np.mean(same)),
            "speed_vs_flat": flat * some / 1000 / one,
            "speed_vs_two_matrices": two / one,
            "batched_speed_vs_two_matrices": two_many / many,
            "batched_speed_with_parts": two_whole / whole,
            "batched_ms": 1000 * many / BATCH,
        }


def approximate_rows(v: Vectors, index: HybridIndex, flat: float) -> Iterator[Record]:
    """The index after it was put into lists: effort chosen on some of the queries, measured on the rest."""
    held, asked = [v.query(i) for i in range(BATCH)], [v.query(i) for i in range(JUDGES, JUDGES + CHOOSE)]
    judges = [v.query(i) for i in range(JUDGES)]
    truth = {lam: index.search_many(at(judges, lam, K)) for lam in LAMBDAS}
    two_ms = 1000 * cpu_s(lambda: [two_matrices(v, i, 1, 0.5) for i in range(3)])[0] / 3
    started = time.process_time()
    if not builder.make_approximate(index, asked):
        return
    built_s = time.process_time() - started
    rows: Any = index.rows
    codes = sum(len(part.to_bytes()) for part in rows.partitions)
    memory = (rows.vectors().nbytes + codes + 16 * len(rows)) / (4 * v.dim * len(rows))
    ready_s = restart_s(index)
    for lam in LAMBDAS:
        (spent,) = cpu_s(lambda lam=lam: [index.search_many(at([q], lam, K))[0].item_ids for q in held])
        one_ms = 1000 * spent / len(held)
        yield {
            "mode": "approximate",
            "lambda": lam,
            "ms": one_ms,
            "recall": builder.recall(index, judges, truth[lam], lam, K),
            "speed_vs_flat": flat / one_ms,
            "speed_vs_two_matrices": two_ms / one_ms,
            "memory_vs_flat": memory,
            "effort": list(index.probes.at(lam, K)),
            "built_s": built_s,
            "restart_s": ready_s,
        }


def restart_s(index: HybridIndex) -> float:
    """Wall seconds from a snapshot on the disk (in the system's cache, as after a restart) to an index that answers."""
    stamp = Stamp(0, "bench", "dance", 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.index"
        save(index, path, stamp)
        started = time.perf_counter()
        again, _ = load(path, stamp, index.embed_dim, index.rhythm_dim)
        again.search_many(builder.held_out(again, 1))
        return time.perf_counter() - started


def summary(rows: list[Record], n: int, dim: int, data: str) -> Record:
    """One object for all λ: the worst of each."""
    worst = {name: min(row[name] for row in rows) for name in rows[0] if "speed" in name}
    rest = {name: rows[0][name] for name in ("memory_vs_flat", "built_s", "restart_s") if name in rows[0]}
    per_lambda = {str(row["lambda"]): {k: v for k, v in row.items() if k not in ("mode", "lambda")} for row in rows}
    head = {"mode": rows[0]["mode"], "n": n, "dim": dim, "data": data}
    return {**head, "recall_worst_lambda": min(r["recall"] for r in rows), **worst, **rest, "lambdas": per_lambda}


def show(records: list[Record]) -> None:
    """The table for people: a line for each mode and λ."""
    table = Table(title="Hybrid retrieval, one thread; recall of an exact index = share with the same ids in order")
    names = ("ms", "recall", "speed_vs_flat", "speed_vs_two_matrices", "batched_speed_vs_two_matrices")
    for column in ("mode", "rows", "numbers", "data", "λ", *names):
        table.add_column(column.replace("_", " "), justify="right")
    for record in records:
        for lam, row in record["lambdas"].items():
            figures = (f"{row[name]:.3g}" if name in row else "" for name in names)
            table.add_row(record["mode"], str(record["n"]), str(record["dim"]), record["data"], lam, *figures)
    Console(width=150).print(table)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=_numbers, default=[10_000, 200_000, 1_000_000], help="rows, with commas between"
    )
    parser.add_argument("--dims", type=_numbers, default=[320, 576], help="numbers of a row, 64 of them of rhythm")
    parser.add_argument("--data", type=lambda text: text.split(","), default=["measured"])
    parser.add_argument("--approximate-from", type=int, default=200_000)
    parser.add_argument("--no-exact", action="store_true", help="leave the exact index out")
    parser.add_argument("--peers", action="store_true", help="other engines too, at 200 000 rows at most")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    records = []
    for n, dim, data in itertools.product(args.sizes, args.dims, args.data):
        for mode in _modes(n, dim, data, args):
            if rows := list(mode):
                records.append(summary(rows, n, dim, data))
                if args.json:
                    print(json.dumps(records[-1]), flush=True)
    if not args.json:
        show(records)


def _modes(n: int, dim: int, data: str, args: argparse.Namespace) -> Iterator[Iterator[Record]]:
    v = vectors.make(n, dim - vectors.RHYTHM_DIM, JUDGES + CHOOSE, data)
    flat, index = flat_ms(v), v.index()
    builder.add_sieves(index)
    if not args.no_exact:
        yield exact_rows(v, index, flat)
    if n >= args.approximate_from:
        yield approximate_rows(v, index, flat)
    if args.peers and n <= 200_000:
        yield from peers.rows(v)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
