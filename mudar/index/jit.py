"""numba's decorator as the search's loops use it: without the GIL, and kept on disk where there is a place for it."""

from __future__ import annotations

from typing import Any

from numba import njit


def jitted(fast: bool = False, keep: bool = True) -> Any:
    """Compile a function at its first call. fast: sums may be reordered, and NaN is not thought of; keep: on disk."""
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz", "nnan"} if fast else False}

    def decorate(function: Any) -> Any:
        try:
            return njit(cache=keep, **options)(function)
        except RuntimeError:  # nowhere to keep what was compiled: compile anew in each process
            return njit(cache=False, **options)(function)

    return decorate
