"""Describes the picture and the sound of a rendering: sizes, rates, colour tags, channels. Opens no files."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]  # (channels, samples)
Layout = Literal["mono", "stereo"]
CHANNELS: dict[Layout, int] = {"mono": 1, "stereo": 2}
USUAL_PEAK = 1000.0  # cd/m² of an HDR master that does not state its own
STANDARD_RATES = tuple(Fraction(n, d) for n, d in ((24000, 1001), (30000, 1001), (60000, 1001)))
HIGHEST_RATE = Fraction(120)
BT709 = 1  # its number as primaries, transfer and matrix alike (H.273)
UNSPECIFIED = 2
UNSAID = {0, UNSPECIFIED}  # 0: reserved


class SourceFrame(NamedTuple):
    """Holds a frame of the source and its time in seconds since the file's time 0."""

    time_s: float
    frame: av.VideoFrame


@dataclass(frozen=True)
class VideoFormat:
    """Describes the output's picture: upright even size in pixels, rate, pixel shape, colour tags (ITU-T H.273).

    start_s, duration_s: of the source. hdr: FFmpeg's name of the source's transfer where that is PQ or HLG, else empty;
    peak: its brightest, cd/m². The flags from `bits` on say what the source was.
    """

    width: int
    height: int
    rate: Fraction
    pixel_aspect: Fraction
    primaries: int
    transfer: int
    matrix: int
    start_s: float
    duration_s: float
    hdr: str = ""
    peak: float = USUAL_PEAK
    bits: int = 8
    has_alpha: bool = False
    rotated: bool = False
    cropped: bool = False
    interlaced: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Says in words for people what the output cannot keep of the source."""
        hdr = "HDR was tone-mapped to the range and the colours of ordinary screens (BT.709, 8 bits)."
        deep = f"{self.bits} bits a channel became 8."
        return tuple(
            words
            for words, holds in (
                (hdr, bool(self.hdr)),
                (deep, self.bits > 8 and not self.hdr),
                ("Transparency was dropped.", self.has_alpha),
                ("The picture was turned upright.", self.rotated),
                ("Interlaced fields became whole frames.", self.interlaced),
                ("An odd row or column was cropped.", self.cropped),
            )
            if holds
        )


@dataclass(frozen=True)
class AudioFormat:
    """Describes the output's sound, and how long the song is that it is cut from."""

    sample_rate_hz: int
    layout: Layout = "stereo"
    duration_s: float = 0.0

    @property
    def channels(self) -> int:
        """Counts the channels of the layout."""
        return CHANNELS[self.layout]


def output_rate(average: Fraction | None) -> Fraction:
    """Chooses the constant rate for a source of this average rate: itself if (nearly) a standard rate, else rounded."""
    if not average or average <= 0:
        return Fraction(30)
    for standard in STANDARD_RATES:
        if abs(average / standard - 1) < Fraction(1, 2000):
            return standard
    return min(max(Fraction(round(average)), Fraction(1)), HIGHEST_RATE)
