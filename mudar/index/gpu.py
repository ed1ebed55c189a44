"""All rows on a graphics card too: a first look at them that names a few, which are then scored as everywhere.

The card's float32 scores differ from the true ones by rounding, so an answer counts only when the rows that were not
named surely lie below it; any other question is answered on the CPU. What is answered is therefore the same to the
last digit. FAISS's own GPU index does the looking (its build for CUDA, the extra `gpu`; NVIDIA, one card a process).
Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.errors import IndexUnavailable
from mudar.index import ranking as p
from mudar.index.ranking import MARGIN, Ints, Pairs, Questions
from mudar.index.rows import Columns
from mudar.records import Array

Place = Callable[[Any], Any]  # an empty FAISS index on the CPU → the same on the card

_LEAST_DEPTH, _ROWS_AN_ITEM = 64, 8
DEEPEST = 2048  # that FAISS's GPU index can name
_BATCH_QUERIES = 256


def place_on(device: str) -> Place | None:
    """Where `device` puts rows: None for `cpu`. IndexUnavailable when it is `cuda` or `cuda:N` and there is none."""
    if device == "cpu":
        return None
    number = int(device.partition(":")[2] or 0)
    cards = int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0
    if number >= cards:
        raise IndexUnavailable(
            f"MUDAR_INDEX_DEVICE is {device}, but FAISS sees {cards} graphics cards.",
            hint="Install mudar[gpu] in place of faiss-cpu on a machine with CUDA, or set MUDAR_INDEX_DEVICE=cpu.",
        )
    resources = faiss.StandardGpuResources()
    return lambda index: faiss.index_cpu_to_gpu(resources, number, index)


class Card:
    """Rows [E ; R], (N, D), in the order in which they were added."""

    def __init__(self, dim: int, place: Place) -> None:
        self._rows = place(faiss.IndexFlatIP(dim))

    def __len__(self) -> int:
        return int(self._rows.ntotal)

    def add(self, rows: Array) -> None:
        """Append (n, D) float32."""
        self._rows.add(np.ascontiguousarray(rows, np.float32))

    def search(self, queries: Array, depth: int) -> tuple[Array, Ints]:
        """Scores and rows of the `depth` best of each query: (Q, depth) both."""
        parts = [
            self._rows.search(np.ascontiguousarray(queries[at : at + _BATCH_QUERIES]), depth)
            for at in range(0, len(queries), _BATCH_QUERIES)
        ]
        scores, rows = zip(*parts, strict=True)
        return np.concatenate(scores), np.concatenate(rows)


def answered(
    card: Card,
    vectors: Array,
    columns: Columns,
    questions: Questions,
    k: int,
    otherwise: Callable[[Questions], Pairs],
) -> Pairs:
    """The pairs of the k best items of each question, best first; `otherwise` answers what the card leaves in doubt."""
    depth = min(max(_LEAST_DEPTH, _ROWS_AN_ITEM * k), DEEPEST, len(card))
    scores, rows = card.search(questions.rows(), depth)
    query, row = np.repeat(np.arange(len(rows)), depth), rows.ravel()
    code, start_s = columns.codes[row].astype(np.int64), columns.start_s[row]
    found = p.best(questions, p.scored(questions, query, row, code, start_s, vectors), k, columns.names)
    sure = _sure(questions, found, scores[:, -1], k) if depth < len(card) else np.ones(questions.count, bool)
    if sure.all():
        return found
    first = np.searchsorted(questions.group, np.arange(questions.count))
    group = questions.group[found.query]
    answers = []
    for g in range(questions.count):
        answer = found.take(group == g) if sure[g] else otherwise(questions.of(g))
        moved = answer.query if sure[g] else answer.query + first[g]
        answers.append(Pairs(moved, *(v for name, v in vars(answer).items() if name != "query")))
    return Pairs.join(answers)


def _sure(questions: Questions, found: Pairs, last: Array, k: int) -> NDArray[np.bool_]:
    """(G,): whether no row that was not named can be among the k best items of a question."""
    group = questions.group[found.query]
    full = np.bincount(group, minlength=questions.count) >= k
    kth = np.full(questions.count, np.inf)
    np.minimum.at(kth, group, found.score)
    highest = np.full(questions.count, -np.inf)
    np.maximum.at(highest, questions.group, last)
    return np.asarray(full & (highest + 2 * MARGIN < kth))
