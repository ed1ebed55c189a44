"""Defines what a caller may choose about a retargeting, checked once. Light: no file, no numpy.

The paper (4.4) leaves every number open; the defaults are ours. Speeds are source seconds per output second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from mudar.errors import OutOfRange, UnknownMethod
from mudar.records import RhythmFrom, RhythmSource

Method = Literal["dtw", "acceleration", "shift", "paper_dtw"]
Interpolation = Literal["nearest", "blend", "flow"]
Encoder = Literal["auto", "libx264", "h264_nvenc"]
Targets = Literal["beats", "onsets", "downbeats", "every_nth"]

DTW_MIN_SPEED = 0.67
DTW_MAX_SPEED = 1.5
PICTURE_ACCENT = 0.5
SOUND_ACCENT = 0.1
LOWEST_SPEED, HIGHEST_SPEED = 0.05, 20.0  # outside, a picture no longer moves or no longer shows its frames


@dataclass(frozen=True)
class RetargetSettings:
    """Says how to retarget; raises OutOfRange or UnknownMethod when that makes no sense.

    method: `dtw` is ours; the paper's three patterns are `shift`, `acceleration` and `paper_dtw`.
    min_speed, max_speed: hard bounds; None = the method's own (dtw: 0.67 to 1.5; acceleration, paper_dtw: none, as in
    the paper). accent: 0..1, how strongly the picture speeds up into a landing stroke and slows after it; None = by
    where the strokes come from (`accent_for`). rhythm_from: the dance's strokes are the beats of its own `sound`,
    those of its `picture`, or (`auto`) the sound's where its record trusts them.
    on: which points of the music are met; `every_nth` takes every `nth` beat. music_start_s: no output before this
    second of the music. original_gain_db: the clip's own sound mixed in at this gain, None = not at all.
    crf: quality of the picture, 0 best to 51; 0 is encoded as 1, since lossless needs a profile that players lack.
    encoder: NVENC where it works (`auto`), or as said.
    verify: run the independent detector (report/impact_detector.py); it costs a few percent of the rendering.
    """

    method: Method = "dtw"
    accent: float | None = None
    rhythm_from: RhythmFrom = "auto"
    min_speed: float | None = None
    max_speed: float | None = None
    interpolation: Interpolation = "flow"
    on: Targets = "beats"
    nth: int = 2
    music_start_s: float = 0.0
    max_duration_s: float | None = None
    crf: int = 20
    preset: str = "veryfast"
    fade_s: float = 0.25
    original_gain_db: float | None = None
    verify: bool = True
    encoder: Encoder = "auto"

    def __post_init__(self) -> None:
        """Refuses what no retargeting could do."""
        if self.method not in get_args(Method):
            raise UnknownMethod(f"There is no method {self.method!r}.")
        _one_of("interpolation", self.interpolation, get_args(Interpolation))
        _one_of("on", self.on, get_args(Targets))
        _one_of("encoder", self.encoder, get_args(Encoder))
        _one_of("rhythm_from", self.rhythm_from, get_args(RhythmFrom))
        if self.accent is not None:
            _within("accent", self.accent, 0.0, 1.0)
        _within("nth", self.nth, 1, 16)
        _within("music_start_s", self.music_start_s, 0.0, 36_000.0)
        _within("crf", self.crf, 0, 51)
        _within("fade_s", self.fade_s, 0.0, 10.0)
        if self.max_duration_s is not None:
            _within("max_duration_s", self.max_duration_s, 1.0, 36_000.0)
        if self.original_gain_db is not None:
            _within("original_gain_db", self.original_gain_db, -60.0, 6.0)
        if self.min_speed is not None:
            _within("min_speed", self.min_speed, LOWEST_SPEED, 1.0)
        if self.max_speed is not None:
            _within("max_speed", self.max_speed, 1.0, HIGHEST_SPEED)

    def accent_for(self, source: RhythmSource) -> float:
        """Gives the accent for strokes of this source: beats that a dancer followed need hardly any help to be seen."""
        if self.accent is not None:
            return self.accent
        return SOUND_ACCENT if source == "sound" else PICTURE_ACCENT

    @property
    def speed_bounds(self) -> tuple[float, float]:
        """Returns the (lowest, highest) speed for this method, source seconds per output second."""
        free = self.method in ("acceleration", "paper_dtw")
        low = self.min_speed if self.min_speed is not None else (0.0 if free else DTW_MIN_SPEED)
        high = self.max_speed if self.max_speed is not None else (math.inf if free else DTW_MAX_SPEED)
        return low, high


def _within(name: str, number: float, low: float, high: float) -> None:
    if not (isinstance(number, (int, float)) and math.isfinite(number) and low <= number <= high):
        raise OutOfRange(f"{name} = {number} is outside {low:g} to {high:g}.")


def _one_of(name: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise OutOfRange(f"{name} = {word!r}: use {', '.join(words)}.")
