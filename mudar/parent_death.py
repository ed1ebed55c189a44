"""Ends a process together with its parent, since a parent that is killed (kill -9) can tell nobody."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
POLL_S = 0.5
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: between fork and exec little is safe


def die_with_parent(parent_pid: int) -> None:
    """Ends this process as soon as the process `parent_pid`, which started it, is gone.

    On Linux the kernel does it with SIGKILL; it watches the thread that started this process, which must therefore
    live on. The order outlives an exec, so this may be a Popen's `preexec_fn` there. Elsewhere a thread looks every
    POLL_S seconds.
    """
    if _LIBC is None:
        threading.Thread(target=_watch, args=(parent_pid,), daemon=True).start()
        return
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the kernel was asked
        os._exit(1)


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(POLL_S)
    os._exit(1)
