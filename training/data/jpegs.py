"""Frames as JPEG, the form in which records carry them: 20 KB where the picture has 200. Knows no clip and no time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
QUALITY: Final = 90


def encode_jpeg(picture: Picture) -> bytes:
    """(H, W, 3) RGB to a file."""
    import cv2  # only networks that look at frames need it

    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return data.tobytes()


def decode_jpegs(files: Sequence[bytes], at: NDArray[np.int64]) -> Picture:
    """(n, H, W, 3) RGB of the files at places (n,), the ends repeated; each file is decoded once."""
    import cv2

    if not files:
        raise ValueError("this network looks at frames, and the records hold none: preprocess with --frames")
    places = np.clip(at, 0, len(files) - 1)
    wanted, order = np.unique(places, return_inverse=True)
    decoded = [np.asarray(cv2.imdecode(np.frombuffer(files[i], np.uint8), cv2.IMREAD_COLOR_RGB)) for i in wanted]
    return np.stack(decoded)[order].astype(np.uint8, copy=False)
