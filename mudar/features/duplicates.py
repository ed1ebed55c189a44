"""Finds frames that a file shows twice, as in 24 frames a second stored at 30, from how far the picture moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DUPLICATE_SHARE = 0.1  # of the displacement before and after, whichever is less: below, the frame is a duplicate


def duplicate_frames(displacement: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Marks single frames that hardly differ from the frame before them, between frames that do.

    displacement: (F - 1,) how far the picture moves from each frame to the next, any unit >= 0. Returns (F,); the first
    two frames and the last one are never marked.
    """
    duplicate = np.zeros(len(displacement) + 1, np.bool_)
    duplicate[2:-1] = displacement[1:-1] < DUPLICATE_SHARE * np.minimum(displacement[:-2], displacement[2:])
    return duplicate
