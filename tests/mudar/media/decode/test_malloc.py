"""What is freed is the system's again, although a small piece above it lives on."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

RESIDENT_MB = """
    import ctypes, sys
    from mudar.media.decode.malloc import use_fixed_mmap_threshold
    if sys.argv[1] == "on":
        assert use_fixed_mmap_threshold()
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.free(libc.malloc(16 << 20))  # from here on glibc keeps up to 16 MB in its heap, if it may choose
    pieces = [libc.malloc(8 << 20) for _ in range(8)]
    for piece in pieces:
        ctypes.memset(piece, 1, 8 << 20)
    small = [libc.malloc(1 << 16) for _ in range(64)]  # these lie above
    for piece in pieces:
        libc.free(piece)
    print(int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_freed_pieces_do_not_stay_below_living_ones() -> None:
    off, on = (
        int(subprocess.run([sys.executable, "-c", textwrap.dedent(RESIDENT_MB), which], check=True, capture_output=True,
                           text=True).stdout)
        for which in ("off", "on")
    )  # fmt: skip
    assert on < off - 48, (on, off)
