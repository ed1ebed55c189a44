"""Other engines on the same vectors, each in the way its users would do hybrid search; those not installed are skipped.

hnswlib, usearch and LanceDB get one field with the concatenated vector, as ours has. Qdrant (local mode) and Milvus
Lite get it too, and Milvus also two fields with its WeightedRanker, which fuses two short lists: what it loses is why
we do not fuse. Times are wall seconds. Recall is that of the true ten best items among the items of 60 rows.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mudar.index.tuning import LAMBDAS
from tests.bench.vectors import SEGMENTS, Vectors

K, QUERIES = 10, 30
DEPTH = K * SEGMENTS
Search = Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any], float], list[int]]


def rows(v: Vectors) -> list[tuple[str, Iterator[dict[str, Any]]]]:
    """Name and records of each engine that is installed."""
    engines = []
    for name, module, make in ENGINES:
        if importlib.util.find_spec(module) is None:
            print(f"{name}: skipped, {module} is not installed", file=sys.stderr)
        else:
            engines.append((name, _measured(v, name, make)))
    return engines


def _measured(v: Vectors, name: str, make: Callable[[Vectors, Path], Search]) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            search = make(v, Path(folder))
        except (RuntimeError, OSError, ImportError, ValueError) as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
            return
        for lam in LAMBDAS:
            shares, spent_s = [], 0.0
            for i in range(QUERIES):
                e, r = v.query_embeddings[i], v.query_rhythms[i]
                started = time.perf_counter()
                rows = search(e, r, lam)
                spent_s += time.perf_counter() - started
                scores = lam * (v.embeddings @ e) + (1 - lam) * (v.rhythms @ r)
                best = np.argsort(-scores, kind="stable")[: DEPTH + 1]
                true = list(dict.fromkeys(v.item[best].tolist()))[:K]
                shares.append(len(set(true) & set(list(dict.fromkeys(v.item[rows].tolist()))[:K])) / len(true))
            yield {"lambda": lam, "ms": 1000 * spent_s / QUERIES, "recall": float(np.mean(shares))}


def _joined(v: Vectors) -> np.ndarray[Any, Any]:
    return np.hstack([v.embeddings, v.rhythms])


def _q(e: np.ndarray[Any, Any], r: np.ndarray[Any, Any], lam: float) -> np.ndarray[Any, Any]:
    return np.concatenate([lam * e, (1 - lam) * r]).astype(np.float32)


def _hnswlib(v: Vectors, folder: Path) -> Search:
    import hnswlib

    index = hnswlib.Index("ip", v.dim)
    index.init_index(len(v.item), ef_construction=100, M=16)
    index.add_items(_joined(v), num_threads=1)
    index.set_ef(200)
    return lambda e, r, lam: list(index.knn_query(_q(e, r, lam), DEPTH, num_threads=1)[0][0])


def _usearch(v: Vectors, folder: Path) -> Search:
    from usearch.index import Index

    index = Index(ndim=v.dim, metric="ip", dtype="f16", connectivity=16, expansion_add=100, expansion_search=200)
    index.add(np.arange(len(v.item)), _joined(v), threads=1)
    return lambda e, r, lam: [int(key) for key in index.search(_q(e, r, lam), DEPTH, threads=1).keys]


def _lancedb(v: Vectors, folder: Path) -> Search:
    import lancedb
    import pyarrow as pa

    joined = _joined(v)
    column = pa.FixedSizeListArray.from_arrays(pa.array(joined.ravel()), v.dim)
    data = pa.table({"id": pa.array(np.arange(len(v.item))), "vector": column})
    table = lancedb.connect(str(folder)).create_table("segments", data)
    table.create_index(metric="dot", num_partitions=256, num_sub_vectors=v.dim // 8)
    return lambda e, r, lam: (
        table.search(_q(e, r, lam))
        .distance_type("dot")
        .nprobes(32)
        .refine_factor(10)
        .limit(DEPTH)
        .to_arrow()["id"]
        .to_pylist()
    )


def _qdrant(v: Vectors, folder: Path) -> Search:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection("s", vectors_config=models.VectorParams(size=v.dim, distance=models.Distance.DOT))
    client.upload_collection("s", _joined(v), ids=range(len(v.item)))
    return lambda e, r, lam: [p.id for p in client.query_points("s", query=_q(e, r, lam).tolist(), limit=DEPTH).points]


def _milvus(v: Vectors, folder: Path) -> tuple[Any, Any]:
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(str(folder / "milvus.db"))
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    fields = {"both": _joined(v), "embedding": v.embeddings, "rhythm": v.rhythms}
    params = client.prepare_index_params()
    for name, vectors in fields.items():
        schema.add_field(name, DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        params.add_index(name, index_type="FLAT", metric_type="IP")
    client.create_collection("s", schema=schema, index_params=params)
    for start in range(0, len(v.item), 5000):
        rows = range(start, min(start + 5000, len(v.item)))
        client.insert("s", [{"id": i, **{name: vectors[i] for name, vectors in fields.items()}} for i in rows])
    return client, fields


def _milvus_joined(v: Vectors, folder: Path) -> Search:
    client, _ = _milvus(v, folder)

    def search(e: Any, r: Any, lam: float) -> list[int]:
        return [hit["id"] for hit in client.search("s", [_q(e, r, lam)], anns_field="both", limit=DEPTH)[0]]

    return search


def _milvus_weighted(v: Vectors, folder: Path) -> Search:
    from pymilvus import AnnSearchRequest, WeightedRanker

    client, _ = _milvus(v, folder)

    def search(e: Any, r: Any, lam: float) -> list[int]:
        searches = [
            AnnSearchRequest([x], name, {"metric_type": "IP"}, limit=DEPTH)
            for name, x in (("embedding", e), ("rhythm", r))
        ]
        return [hit["id"] for hit in client.hybrid_search("s", searches, WeightedRanker(lam, 1 - lam), limit=DEPTH)[0]]

    return search


ENGINES: list[tuple[str, str, Callable[[Vectors, Path], Search]]] = [
    ("hnswlib", "hnswlib", _hnswlib),
    ("usearch f16", "usearch", _usearch),
    ("LanceDB IVF-PQ", "lancedb", _lancedb),
    ("Qdrant local", "qdrant_client", _qdrant),
    ("Milvus Lite, one field", "milvus_lite", _milvus_joined),
    ("Milvus Lite, WeightedRanker", "milvus_lite", _milvus_weighted),
]
