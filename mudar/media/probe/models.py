"""Holds what a probe finds out about a file, as plain dataclasses, and says whether it will do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mudar.errors import MediaTooShort, NoAudioStream, NoVideoStream, StillVideo


@dataclass(frozen=True)
class VideoStream:
    """Describes the picture track of a file.

    width, height: as displayed, upright and with square pixels. rotation_deg: clockwise turn from stored to upright.
    fps: average rate. frames: counted, not estimated. start_s, duration_s: on the file's clock. is_still: one picture
    all the time, as far as a few frames under a sound track say.
    """

    width: int
    height: int
    rotation_deg: int
    fps: float
    is_vfr: bool
    frames: int | None
    codec: str
    pix_fmt: str
    bit_depth: int
    is_hdr: bool
    has_alpha: bool
    start_s: float = 0.0
    duration_s: float = 0.0
    is_still: bool = False


@dataclass(frozen=True)
class AudioStream:
    """Describes the sound track of a file. start_s, duration_s: on the file's clock."""

    sample_rate_hz: int
    channels: int
    codec: str
    start_s: float = 0.0
    duration_s: float = 0.0


@dataclass(frozen=True)
class MediaInfo:
    """Describes a file. duration_s: from its time 0 to the end of its last stream."""

    path: str
    container: str
    duration_s: float
    video: VideoStream | None
    audio: AudioStream | None

    @property
    def kind(self) -> Literal["dance", "music"]:
        """What the file is taken for: music without a picture, or with one that stands still under sound."""
        return "music" if self.video is None or (self.video.is_still and self.audio is not None) else "dance"

    @property
    def notes(self) -> tuple[str, ...]:
        """Says in words for people why a file with a picture was taken for music."""
        still = self.kind == "music" and self.video is not None
        return ("Its picture stands still, so the file was taken as music.",) if still else ()

    def to_dict(self) -> dict[str, Any]:
        """Converts to a plain nested dict, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MediaInfo:
        """Builds the record that `to_dict` has converted."""
        video = VideoStream(**data["video"]) if data["video"] else None
        audio = AudioStream(**data["audio"]) if data["audio"] else None
        return cls(**{**data, "video": video, "audio": audio})


@dataclass(frozen=True)
class ProbeLimits:
    """Limits the files that are accepted; max_pixels is width times height."""

    max_duration_s: float = 3600.0
    max_pixels: int = 8192 * 8192
    min_duration_s: float = 1.0


def require_dance(info: MediaInfo, min_duration_s: float = 1.0) -> VideoStream:
    """Returns the picture track of a dance; NoVideoStream without one, StillVideo for one frame, MediaTooShort."""
    name = Path(info.path).name
    if info.video is None:
        raise NoVideoStream(f"{name} has no picture, only sound.")
    if info.video.frames == 1:
        raise StillVideo(f"The picture of {name} is a single frame.")
    _require_length(info.video.duration_s, min_duration_s, f"The picture of {name}")
    return info.video


def require_music(info: MediaInfo, min_duration_s: float = 1.0) -> AudioStream:
    """Returns the sound track of music; NoAudioStream without one, MediaTooShort even if its file is longer."""
    if info.audio is None:
        raise NoAudioStream(f"{Path(info.path).name} has no sound.")
    _require_length(info.audio.duration_s, min_duration_s, f"The sound of {Path(info.path).name}")
    return info.audio


def _require_length(duration_s: float, least_s: float, what: str) -> None:
    """Checks a stream, which may be shorter than its file; 0 stands for an unknown length."""
    if 0 < duration_s < least_s - 0.05:
        raise MediaTooShort(f"{what} lasts {duration_s:.2f} s; at least {least_s:g} s are needed.")
