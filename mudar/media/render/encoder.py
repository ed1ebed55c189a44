"""Which H.264 encoder writes the picture: the graphics card's where there is one that works, else libx264.

That a library was built with NVENC says nothing of the machine; so one small picture is encoded to find out, once a
process.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal

import av
import numpy as np

Encoder = Literal["auto", "libx264", "h264_nvenc"]
NVENC, X264 = "h264_nvenc", "libx264"
PROBE_PX = 256  # NVENC takes no picture that is much smaller


def choose_encoder(wanted: str) -> str:
    """The encoder's name; `h264_nvenc` where it does not work is `libx264`."""
    return NVENC if wanted in ("auto", NVENC) and nvenc_works() else X264


def options(name: str, crf: int, preset: str) -> dict[str, str]:
    """The encoder's words for a quality (0 best .. 51) that looks about the same from both."""
    if name == NVENC:
        return {"rc": "vbr", "cq": str(crf), "b": "0", "preset": "p5", "tune": "hq", "profile": "high"}
    return {"crf": str(crf), "preset": preset, "profile": "high"}


@lru_cache(maxsize=1)
def nvenc_works() -> bool:
    """Whether a picture can be encoded on the graphics card, here and now."""
    try:
        encoder = av.CodecContext.create(NVENC, "w")
        encoder.width = encoder.height = PROBE_PX  # type: ignore[attr-defined]
        encoder.pix_fmt = "yuv420p"  # type: ignore[attr-defined]
        encoder.time_base = Fraction(1, 30)
        grey = np.full((PROBE_PX * 3 // 2, PROBE_PX), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 30)
        packets = [*encoder.encode(frame), *encoder.encode(None)]  # type: ignore[attr-defined]
    except (av.FFmpegError, ValueError):
        return False
    return bool(packets)
