"""Whether the compiled loops (kernels.py, tiles.py) are there. Importing them compiles: work for the background.

Until then, and where numba cannot compile, the same answers come from scan.py and sift.py.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, NamedTuple

import numpy as np

log = logging.getLogger(__name__)


class Loops(NamedTuple):
    """The two modules."""

    kernels: Any
    tiles: Any


_kernels: Loops | None = None
_once = threading.Lock()
_failed = False


def kernels() -> Loops | None:
    """The modules, or None while they are not there."""
    return _kernels


def load() -> bool:
    """Compile, or read what was compiled before; says whether that went well."""
    global _kernels, _failed
    with _once:
        if _kernels is None and not _failed:
            try:
                from mudar.index import kernels, tiles

                _try(found := Loops(kernels, tiles))
            except Exception as error:  # noqa: BLE001  a compiler may fail in any way, and nothing depends on it
                log.warning("search runs without its compiled loops: %s", error)
                _failed = True
            else:
                _kernels = found
    return _kernels is not None


def _try(found: Loops) -> None:
    """One question to the fewest rows, all alike, in the types that searches use."""
    kernels, tiles = found
    one, part, group = np.ones((1, 2), np.float32), np.ones((1, 1), np.float32), np.zeros(1, np.int64)
    rows, codes = np.ones((tiles.RUN, 2), np.float32), np.zeros(tiles.RUN, np.int32)
    asked = (one, part, part, np.ones(1), group)
    best = (np.zeros((1, 1, 3), np.int64), np.zeros((1, 1, 3)), np.zeros(1, np.int64), np.zeros(1, bool))
    kernels.prepare(asked[1:], np.zeros((1, 2), np.float32), (part, part), (1, 1), np.zeros((1, 4), np.float32))
    kernels.sweep(np.ones((tiles.RUN, 1), np.float32), 0, 0, 1e-5, asked, rows, codes, np.zeros(0, bool), best)
    kept = np.empty((tiles.KEPT, 1, 1, tiles.LANES), np.float32)
    tiles.fill(rows, 0, 0, tiles.packed(one), kept)
    kernels.sweep_tiles(kept, tiles.RUN, one, 0, rows, (0, 2), 0, 1e-5, asked, rows, codes, np.zeros(0, bool), best)
    kernels.weigh(group, group, 1e-5, asked, rows, codes, best)
    kernels.settled(*best[1:])
    if best[1].tolist() != [[[1.0, 1.0, 1.0]]]:
        raise ValueError(f"the compiled loops count wrongly: {best[1].tolist()}")
