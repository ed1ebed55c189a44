"""Whether the compiled loops (kernels.py) are there. Importing them compiles, which is work for the background.

Until then, and where numba cannot compile, the same answers come from scan.py and sift.py.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

_kernels: Any = None
_once = threading.Lock()
_failed = False


def kernels() -> Any:
    """The module, or None while it is not there."""
    return _kernels


def load() -> bool:
    """Compile, or read what was compiled before; says whether that went well."""
    global _kernels, _failed
    with _once:
        if _kernels is None and not _failed:
            try:
                from mudar.nearest import kernels as found

                _try(found)
            except Exception as error:  # noqa: BLE001  a compiler may fail in any way, and nothing depends on it
                log.warning("search runs without its compiled loops: %s", error)
                _failed = True
            else:
                _kernels = found
    return _kernels is not None


def _try(found: Any) -> None:
    """One question to one row, in the types that searches use."""
    one, part, group = np.ones((1, 2), np.float32), np.ones((1, 1), np.float32), np.zeros(1, np.int64)
    asked = (one, part, part, np.ones(1), group)
    best = (np.zeros((1, 1, 3), np.int64), np.zeros((1, 1, 3)), np.zeros(1, np.int64), np.zeros(1, bool))
    codes, short = np.zeros(1, np.int32), np.zeros((1, 4), np.float32)
    found.prepare(asked[1:], np.zeros((1, 2), np.float32), (part, part), (1, 1), short)
    found.sweep(part, 0, 0, 1e-5, asked, one, codes, np.zeros(0, bool), best)
    found.sweep_each(part, 0, 0, 1e-5, asked, one, codes, np.zeros(0, bool), best)
    found.weigh(group, group, 1e-5, asked, one, codes, best)
    if best[1].tolist() != [[[1.0, 1.0, 1.0]]]:
        raise ValueError(f"the compiled loops count wrongly: {best[1].tolist()}")
