"""One question to rows in lists: look into as many as asked for, at every row when that finds too few.

Knows the rows and their columns; the lock is its user's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mudar.index.ivf import Found, IvfRows
from mudar.index.leaders import best_found
from mudar.index.ranking import Pairs, Questions
from mudar.index.rows import Columns
from mudar.index.tuning import EVERY, Effort, Probes

_FEW_ROWS = 0.1  # of fewer allowed rows, all are looked at
_ROWS_AN_ITEM = 8  # that are scored again for each item that is wanted, to begin with
_SCAN_DEPTH = 1000


def probe(
    rows: IvfRows,
    columns: Columns,
    probes: Probes,
    question: Questions,
    k: int,
    allowed: NDArray[np.bool_] | None,
    effort: Effort | None,
) -> Pairs:
    """The k best items of one question; fewer only if there are no more, or if no more `effort` is to be made.

    effort: how hard to try; default: as the measured recall asks, and then harder.
    """
    turned, tried = rows.turn.questions(question), effort or probes.at(float(question.lam[0]), k)
    share = 1.0 if allowed is None else float(allowed.mean())
    if tried != EVERY and share >= _FEW_ROWS:
        more = (1 if allowed is None else 2) / share
        depth = min(int(more * max(tried.depth, 16 * k)), len(rows))
        wider = Effort(int(more * tried.lists), depth, tried.partition)
        for wanted in (_ROWS_AN_ITEM * k, depth)[allowed is not None or depth <= _ROWS_AN_ITEM * k :]:
            found = rows.search(turned, wider, wanted)
            if allowed is not None:
                inside = allowed[found.row]
                found = Found(found.query[inside], found.row[inside], found.score[inside])
            best = _best(rows, columns, turned, found, k)
            if len(best.row) == k:
                return best
        if effort is not None:  # it was asked what so much effort finds
            return best
    live = columns.codes >= 0 if allowed is None else allowed
    return _best(rows, columns, turned, rows.scan(turned, np.flatnonzero(live), max(_SCAN_DEPTH, 16 * k)), k)


def _best(rows: IvfRows, columns: Columns, turned: Questions, found: Found, k: int) -> Pairs:
    return best_found(turned, found.query, found.row, found.score, columns, rows.vectors(), k)
