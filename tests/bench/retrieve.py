"""`make bench-retrieve`: search beside FAISS's IndexFlatIP, in one run; JSON=1 prints an object a line.

    python -m tests.bench.retrieve [--sizes 200000] [--dims 320] [--data measured,crowded] [--peers]

One thread. Times are seconds of this process's CPU (other engines, which may have threads of their own: wall), the
best of a few rounds in which the rivals take turns: the machine is shared. Vectors are those of vectors.py, which says
how each kind is shaped. Recall of the exact index is the share of queries with the ids of the float64 matrices in the
same order. Of lists, operating points are chosen with 400 queries, and recall is that of 1000 others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from mudar.index import builder
from mudar.index.hybrid import HybridIndex
from mudar.index.results import SearchResults
from mudar.index.snapshot import SnapshotHeader, load, save
from mudar.index.tuning import LAMBDAS
from tests.bench import peers, vectors
from tests.bench.vectors import Vectors

K, QUERIES, JUDGES, FLAT_DEPTH = 10, 200, 1000, 64
BARS = {  # of the worst λ: recall, times as fast as IndexFlatIP, and at most so much of its memory
    "exact": (1.0, 1.0, np.inf),
    "approximate": (0.99, 25.0, 0.55),
}
LISTS_FROM = 1_000_000  # rows from which the bars of lists hold
Record = dict[str, Any]


def cpu_s(*works: Callable[[], object], rounds: int = 5) -> list[float]:
    """Least CPU seconds of one call of each; they take turns."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for position, work in enumerate(works):
            started = time.process_time()
            work()
            best[position] = min(best[position], time.process_time() - started)
    return best


def float64_ids(v: Vectors, lam: float, count: int) -> Iterator[list[str]]:
    """The ten best items of each of the first queries by both matrices in float64, ties by id."""
    for start in range(0, count, 20):
        e, r = v.query_embeddings[start : start + 20], v.query_rhythms[start : start + 20]
        scores = np.float32(lam) * (e @ v.embeddings.T) + np.float32(1 - lam) * (r @ v.rhythms.T)
        for row, q, s in zip(scores, e.astype(float), r.astype(float), strict=True):
            top = np.argpartition(row, max(len(row) - 400, 0))[-400:]
            sums = lam * (v.embeddings[top].astype(float) @ q) + (1 - lam) * (v.rhythms[top].astype(float) @ s)
            order = np.lexsort((v.item[top], -np.round(sums, 9)))
            yield [f"dance-{item:09d}" for item in list(dict.fromkeys(v.item[top[order]].tolist()))[:K]]


def flat_index(v: Vectors) -> Any:
    """FAISS's IndexFlatIP of all rows."""
    flat = faiss.IndexFlatIP(v.dim)
    for block in v.blocks():
        flat.add(block)
    return flat


def timed(v: Vectors, index: HybridIndex, flat: Any, lam: float) -> tuple[float, float]:
    """Milliseconds of one question of ours and of IndexFlatIP (its 64 best rows, whosever they are), in turns."""
    count = int(np.clip(4_000_000 // len(v.item), 5, 50))
    requests = builder.at([v.query(i) for i in range(count)], lam, K)
    queries = [request.vectors() for request in requests]
    ours, theirs = cpu_s(
        lambda: [index.search_many([request]) for request in requests],
        lambda: [flat.search(query, FLAT_DEPTH) for query in queries],
    )
    return 1000 * ours / count, 1000 * theirs / count


def exact_rows(v: Vectors, index: HybridIndex, flat: Any) -> Iterator[Record]:
    """The exact index at every λ."""
    for lam in LAMBDAS:
        requests = builder.at([v.query(i) for i in range(QUERIES)], lam, K)
        alone = [index.search_many([request])[0].item_ids for request in requests]
        batched = [results.item_ids for results in index.search_many(requests)]
        truth = list(float64_ids(v, lam, QUERIES))
        same = [results == true for each in (alone, batched) for results, true in zip(each, truth, strict=True)]
        ms, flat_ms = timed(v, index, flat, lam)
        yield {"lambda": lam, "ms": ms, "recall": float(np.mean(same)), "speed_vs_flat": flat_ms / ms}


def approximate_rows(v: Vectors, index: HybridIndex, flat: Any) -> Iterator[Record]:
    """The index after it was put into lists."""
    judges = [v.query(i) for i in range(JUDGES)]
    truth = {lam: index.search_many(builder.at(judges, lam, K)) for lam in LAMBDAS}
    started = time.process_time()
    if not builder.make_approximate(index, [v.query(i) for i in range(JUDGES, JUDGES + builder.QUERIES)]):
        return
    built_s, base = time.process_time() - started, index.freeze().base
    assert base is not None
    lists = sum(faiss.serialize_index(each).nbytes for each in base.lists)
    memory = (lists + len(base) * (base.halves.code_size + 16)) / (4 * v.dim * len(base))
    restart = restart_s(index)
    for lam in LAMBDAS:
        ms, flat_ms = timed(v, index, flat, lam)
        recall = shared(index.search_many(builder.at(judges, lam, K)), truth[lam])
        yield {
            "lambda": lam, "ms": ms, "recall": recall, "speed_vs_flat": flat_ms / ms, "memory_vs_flat": memory,
            "params": list(base.points.at(lam, K)), "built_s": built_s, "restart_s": restart,
        }  # fmt: skip


def shared(answers: Sequence[SearchResults], truth: Sequence[SearchResults]) -> float:
    """Mean share of the true items that the answers hold."""
    pairs = zip(answers, truth, strict=True)
    return float(np.mean([len({*results.item_ids} & {*true.item_ids}) / len(true) for results, true in pairs]))


def restart_s(index: HybridIndex) -> float:
    """Wall seconds from a snapshot on the disk (in the system's cache, as after a restart) to an index that answers."""
    header = SnapshotHeader(0, "bench", "dance", 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.index"
        save(index, path, header)
        started = time.perf_counter()
        again, _ = load(path, header, index.embed_dim, index.rhythm_dim)
        again.search_many(builder.held_out(again, 1))
        return time.perf_counter() - started


def summary(mode: str, rows: list[Record], n: int, dim: int, data: str) -> Record:
    """One object for all λ, with the worst of each, and whether the bars are reached (where they hold)."""
    recall, speed = (min(row.get(name, np.nan) for row in rows) for name in ("recall", "speed_vs_flat"))
    rest = {name: rows[0][name] for name in ("memory_vs_flat", "built_s", "restart_s") if name in rows[0]}
    least_recall, least_speed, most_memory = BARS.get(mode, (0.0, 0.0, np.inf))
    reached = recall >= least_recall and speed >= least_speed and rest.get("memory_vs_flat", 0.0) <= most_memory
    binding = mode == "exact" or (mode == "approximate" and n >= LISTS_FROM)
    head = {"mode": mode, "n": n, "dim": dim, "data": data, "reached": reached if binding else None}
    lambdas = {str(row["lambda"]): {name: row[name] for name in row if name != "lambda"} for row in rows}
    return {**head, "recall_worst_lambda": recall, "speed_vs_flat": speed, **rest, "lambdas": lambdas}


def show(records: list[Record]) -> None:
    """Prints a line for each mode and λ, and whether the bars are reached."""
    table = Table(title="Hybrid retrieval, one thread; recall of an exact index = share with the same ids in order")
    names = ("ms", "recall", "speed_vs_flat", "memory_vs_flat")
    for column in ("mode", "rows", "numbers", "data", "λ", *names, "bars"):
        table.add_column(column.replace("_", " "), justify="right")
    for record in records:
        bars = {True: "ok", False: "MISSED", None: ""}[record["reached"]]
        for lam, row in record["lambdas"].items():
            figures = (f"{row[name]:.3g}" if name in row else "" for name in names)
            table.add_row(record["mode"], str(record["n"]), str(record["dim"]), record["data"], lam, *figures, bars)
    Console(width=150).print(table)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=_numbers, default=[10_000, 200_000, LISTS_FROM], help="with commas between")
    parser.add_argument("--dims", type=_numbers, default=[320], help="numbers of a row, 64 of them of rhythm")
    parser.add_argument("--data", type=lambda text: text.split(","), default=["measured"])
    parser.add_argument("--approximate-from", type=int, default=LISTS_FROM, help="rows")
    parser.add_argument("--peers", action="store_true", help="other engines too, at 200 000 rows at most")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    records = []
    for n, dim, data in itertools.product(args.sizes, args.dims, args.data):
        for mode, measured in _modes(n, dim, data, args):
            if rows := list(measured):
                records.append(summary(mode, rows, n, dim, data))
                if args.json:
                    print(json.dumps(records[-1]), flush=True)
    if not args.json:
        show(records)


def _modes(n: int, dim: int, data: str, args: argparse.Namespace) -> Iterator[tuple[str, Iterator[Record]]]:
    v = vectors.make(n, dim - vectors.RHYTHM_DIM, JUDGES + builder.QUERIES, data)
    flat, index = flat_index(v), v.index()
    builder.add_acceleration(index)
    if n < LISTS_FROM:
        yield "exact", exact_rows(v, index, flat)
    if n >= args.approximate_from:
        yield "approximate", approximate_rows(v, index, flat)
    if args.peers and n <= 200_000:
        yield from peers.rows(v)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
