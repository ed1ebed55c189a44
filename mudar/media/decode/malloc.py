"""Makes glibc give freed memory back to the system at once.

Whenever a large piece is freed, glibc raises the size up to which it takes pieces from its own heap (mallopt(3),
M_MMAP_THRESHOLD), to 32 MB in the end; in that heap one small piece that lives on keeps all that lies below it. A
process that analyses videos frees such pieces all the time. With a fixed size they are the system's and not the heap's.
"""

from __future__ import annotations

import ctypes

MMAP_THRESHOLD_BYTES = 128 * 1024  # where glibc begins
_M_MMAP_THRESHOLD = -3


def use_fixed_mmap_threshold() -> bool:
    """Fixes the size from which this process maps memory by itself; False where the C library is not glibc."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows has no library of that name
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES))
