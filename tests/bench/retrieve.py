"""`make bench-retrieve`: search beside FAISS Flat, the two matrices, and other engines, in one run; JSON=1 gives lines.

    python -m tests.bench.retrieve --sizes 10000 200000 1000000 --embed 256 --peers

One thread. Times are seconds of this process's CPU (engines with servers or threads of their own: wall), the best of
a few, taken in turns: the machine is shared. Vectors are those of vectors.py, which says how they are shaped; `--flat`
takes uniform directions, the worst case for everything that skips rows. The two matrices are plain numpy: two
products, weights, argpartition, the best segment of each item. Same ids and order are checked against their float64.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from mudar.nearest import grow
from mudar.nearest.probes import LAMBDAS
from mudar.retrieve import HybridIndex
from tests.bench import peers, vectors
from tests.bench.vectors import SEGMENTS, Vectors

K, SINGLES, BATCH = 10, 20, 200
Record = dict[str, Any]


def cpu_s(work: Callable[[], object], rounds: int = 3) -> float:
    """Least CPU seconds of one call."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
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


def exactly(v: Vectors, number: int, lam: float) -> list[str]:
    """The same in float64, ties by id."""
    scores = lam * (v.query_embeddings[number] @ v.embeddings.T) + (1 - lam) * (v.query_rhythms[number] @ v.rhythms.T)
    top = np.argpartition(scores, max(len(scores) - 400, 0))[-400:]
    e, r = v.embeddings[top].astype(float), v.rhythms[top].astype(float)
    sums = lam * (e @ v.query_embeddings[number].astype(float)) + (1 - lam) * (
        r @ v.query_rhythms[number].astype(float)
    )
    order = np.lexsort((v.item[top], -np.round(sums, 9)))
    return [f"dance-{item:09d}" for item in list(dict.fromkeys(v.item[top[order]].tolist()))[:K]]


def flat_ms(v: Vectors) -> float:
    """Milliseconds that FAISS Flat takes for one query's list of 64 rows."""
    flat = faiss.IndexFlatIP(v.dim)
    for start in range(0, len(v.item), 50_000):
        part = slice(start, start + 50_000)
        flat.add(np.hstack([v.embeddings[part], v.rhythms[part]]))
    q = np.hstack([0.5 * v.query_embeddings[:3], 0.5 * v.query_rhythms[:3]])
    return 1000 * cpu_s(lambda: [flat.search(q[i : i + 1], 64) for i in range(3)]) / 3


def exact_rows(v: Vectors, index: HybridIndex, flat: float) -> Iterator[Record]:
    """The exact index at every λ."""
    queries = [v.query(i) for i in range(BATCH)]
    for lam in LAMBDAS:
        together = index.search_many(queries, [lam] * BATCH, K)
        same = [[m.item_id for m in found] == exactly(v, i, lam) for i, found in enumerate(together)]
        one_ms = 1000 * cpu_s(lambda lam=lam: [index.search_many([q], [lam], K) for q in queries[:SINGLES]]) / SINGLES
        two_ms = 1000 * cpu_s(lambda lam=lam: [two_matrices(v, i, 1, lam) for i in range(3)]) / 3
        many = cpu_s(lambda lam=lam: index.search_many(queries, [lam] * BATCH, K), 2)
        two_many = cpu_s(lambda lam=lam: two_matrices(v, 0, BATCH, lam), 1)
        yield {
            "mode": "exact",
            "lambda": lam,
            "ms": one_ms,
            "recall": float(np.mean(same)),
            "speed_vs_flat": flat / one_ms,
            "speed_vs_two_matrices": two_ms / one_ms,
            "batched_speed_vs_two_matrices": two_many / many,
        }


def approximate_rows(v: Vectors, index: HybridIndex, flat: float) -> Iterator[Record]:
    """The index after it was put into lists: effort chosen on the first half of the queries, measured on the rest."""
    queries = [v.query(i) for i in range(BATCH)]
    asked, held = queries[: BATCH // 2], queries[BATCH // 2 :]
    truth = {lam: index.search_many(held, [lam] * len(held), K) for lam in LAMBDAS}
    two_ms = 1000 * cpu_s(lambda: [two_matrices(v, i, 1, 0.5) for i in range(3)]) / 3
    started = time.process_time()
    if not grow.make_approximate(index, asked):
        return
    built_s = time.process_time() - started
    rows: Any = index.rows
    memory = (rows.vectors().nbytes + len(rows.to_bytes()) + 16 * len(rows)) / (4 * v.dim * len(rows))
    for lam in LAMBDAS:
        one_ms = 1000 * cpu_s(lambda lam=lam: [index.search_many([q], [lam], K) for q in held], 2) / len(held)
        yield {
            "mode": "approximate",
            "lambda": lam,
            "ms": one_ms,
            "recall": grow.recall(index, held, truth[lam], lam, K),
            "speed_vs_flat": flat / one_ms,
            "speed_vs_two_matrices": two_ms / one_ms,
            "memory_vs_flat": memory,
            "effort": list(index.probes.at(lam, K)),
            "built_s": built_s,
        }


def summary(rows: list[Record], n: int, dim: int, data: str) -> Record:
    """One object for all λ: the worst of each."""
    worst = {name: min(row[name] for row in rows) for name in rows[0] if "speed" in name}
    rest = {name: rows[0][name] for name in ("memory_vs_flat", "built_s") if name in rows[0]}
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
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 200_000, 1_000_000])
    parser.add_argument("--embed", type=int, nargs="+", default=[256], help="numbers of an embedding: 256, 512")
    parser.add_argument("--approximate-from", type=int, default=200_000)
    parser.add_argument("--flat", action="store_true", help="uniform directions, the worst case")
    parser.add_argument("--peers", action="store_true", help="other engines too, at 200 000 rows at most")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    data, records = "uniform" if args.flat else "clustered", []
    for n in args.sizes:
        for embed_dim in args.embed:
            v = vectors.make(n, embed_dim, BATCH, args.flat)
            index, flat = v.index(), flat_ms(v)
            grow.add_sieves(index)
            modes = [exact_rows(v, index, flat)]
            modes += [approximate_rows(v, index, flat)] if n >= args.approximate_from else []
            modes += peers.rows(v) if args.peers and n <= 200_000 else []
            for mode in modes:
                rows = list(mode)
                if rows:
                    records.append(summary(rows, n, v.dim, data))
                    if args.json:
                        print(json.dumps(records[-1]), flush=True)
    if not args.json:
        show(records)


if __name__ == "__main__":
    main()
