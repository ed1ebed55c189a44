"""One library searched in this process and in a Milvus: `python -m tests.bench.remote URL [--segments 20000]`.

Says whether the answers are the same at every λ, and what a question of one segment takes: for a library that stands
still, and for one that changed a moment ago, when Milvus must wait for what was written.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from mudar.index.hybrid import HybridIndex
from mudar.index.milvus import ENGINES, Milvus, MilvusIndex
from tests.bench import vectors
from tests.bench.row import seconds

LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_ROWS = 2_000


def fill(index: MilvusIndex, data_set: vectors.Vectors) -> float:
    """Seconds that all rows take."""
    began, names = time.perf_counter(), data_set.names()
    index.create(anew=True)
    for first in range(0, len(names), _ROWS):
        part = slice(first, first + _ROWS)
        ids = np.arange(first, min(first + _ROWS, len(names)))
        start_s = 4.0 * (ids % vectors.SEGMENTS)
        index.replace((), ids + 1, names[part], data_set.embeddings[part], data_set.rhythms[part], start_s)
    index.count()
    return time.perf_counter() - began


def compare(here: HybridIndex, there: MilvusIndex, data_set: vectors.Vectors, questions: int) -> tuple[int, float]:
    """How many answers have the same items in the same order, and the largest difference of a score or a part."""
    same, off = 0, 0.0
    for lam in LAMBDAS:
        for query in map(data_set.query, range(questions)):
            mine, theirs = (index.search(query.embeddings, query.rhythms, lam, 10) for index in (there, here))
            same += [match.item_id for match in mine] == [match.item_id for match in theirs]
            away = np.subtract([match[1:4] for match in mine], [match[1:4] for match in theirs])
            off = max(off, float(np.abs(away).max()))
    return same, off


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="http://host:19530, or a file for Milvus Lite")
    parser.add_argument("--segments", type=int, default=20_000)
    parser.add_argument("--type", choices=list(ENGINES), default="FLAT")
    parser.add_argument("--questions", type=int, default=20)
    args = parser.parse_args()
    data_set = vectors.make(args.segments, 256, args.questions)
    here, engine = data_set.index(), Milvus(args.url)
    there = MilvusIndex(engine, "mudar_bench", 256, vectors.RHYTHM_DIM, args.type)
    print(f"{engine.ping()}: {args.segments} segments in {fill(there, data_set):.1f} s")
    ways: dict[str, tuple[Callable[..., object], bool]] = {
        "FAISS, here": (here.search, False), "Milvus, at rest": (there.search, False),
        "Milvus, just changed": (there.search, True),
    }  # fmt: skip
    same, off = compare(here, there, data_set, args.questions)
    print(f"the same items in the same order: {same} of {len(LAMBDAS) * args.questions}; largest difference {off:.1e}")
    for name, (search, there.fresh) in ways.items():
        arguments = [(q.embeddings, q.rhythms, 0.5, 10) for q in map(data_set.query, range(args.questions))]
        taken = [1000 * seconds(partial(search, *one)) for one in arguments]
        print(f"{name}: p50 {statistics.median(taken):.1f} ms, worst {max(taken):.1f} ms")
    with engine.client() as client:
        client.drop_collection(there.name)
    engine.close()


if __name__ == "__main__":
    main()
