"""On a machine with a graphics card and FAISS for CUDA: answers from the card are those of the CPU, and what they cost.

    python tests/gpu/check_index.py [rows]

Prints one JSON object; ends with 1 when an answer differs.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mudar.index import builder
from mudar.index.gpu import to_device
from mudar.index.tuning import LAMBDAS
from tests.answers import at, same
from tests.bench import vectors

QUERIES, K = 200, 10


def main() -> int:
    """See the module."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    device = to_device("cuda")
    assert device is not None
    v = vectors.make(count, 256, QUERIES)
    index, queries = v.index(), [v.query(i) for i in range(QUERIES)]
    builder.add_acceleration(index)
    said: dict[str, object] = {"rows": count, "same": True}
    expected = {lam: index.search_many(at(queries, lam, K)) for lam in LAMBDAS}
    for name, put in (("cpu", False), ("card", True)):
        if put:
            index = v.index()
            builder.add_acceleration(index, device)
        for kind, batches in (("single_ms", [[q] for q in queries[:50]]), ("batched_ms", [queries])):
            started = time.perf_counter()
            for batch in batches:
                index.search_many(at(batch, 0.5, K))
            said[f"{name}_{kind}"] = 1000 * (time.perf_counter() - started) / sum(map(len, batches))
    for lam in LAMBDAS:
        said["same"] = said["same"] and same(index.search_many(at(queries, lam, K)), expected[lam])
    print(json.dumps(said))
    return 0 if said["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
