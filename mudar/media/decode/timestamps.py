"""Puts sound and picture on one clock: finds a file's time 0 and repairs broken time stamps.

Time 0 is the moment the first track starts to be heard or seen. Encoder priming (AAC, Opus, MP3) is not heard: the
decoders drop it, so the sound's start is taken from its first decoded frame, not from its first packet.
Imports no numpy. Knows nothing of pixels or samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from mudar.media.decode.container import (
    audio_stream,
    decoded_frames,
    discard_others,
    length_s,
    open_media,
    packets,
    video_stream,
)

PRIMING_PACKETS = 400  # how many packets may pass before the first sound; 8 s of AAC
JUMP_S = 1.0  # a step back, or past the file's end, by more than this is a broken clock and not a slip


def stream_start_s(path: str | Path) -> float:
    """Finds the time stamp, in seconds, of the file's time 0; UnreadableMedia."""
    with open_media(path) as container:
        return container_start_s(container)


def container_start_s(container: InputContainer) -> float:
    """Finds the same time stamp of an open container, which it leaves somewhere in the middle."""
    video = video_stream(container)
    starts = [first_sound_s(container)]
    if video is not None and video.start_time is not None and video.time_base:
        starts.append(float(video.start_time * video.time_base))
    return min((s for s in starts if s is not None), default=0.0)


def first_sound_s(container: InputContainer) -> float | None:
    """Finds the time stamp of the first decoded sound, None if nothing can be decoded near the start."""
    audio = audio_stream(container)
    if audio is None:
        return None
    discard_others(container, audio)
    for packet in islice(packets(container, audio), PRIMING_PACKETS):
        for frame in _decode_or_skip(packet):
            return frame.time
    return None


def _decode_or_skip(packet: av.Packet[AudioStream]) -> list[av.AudioFrame]:
    try:
        return list(packet.decode())
    except av.FFmpegError:  # one bad packet; the next may do
        return []


def promised_end_s(container: InputContainer, stream: Stream) -> float | None:
    """Reads the time stamp at which the header says `stream` ends; None where headers estimate it (MP3, TS, raw)."""
    if container.format.name.startswith("matroska"):
        tag = stream.metadata.get("DURATION", "")  # "00:00:02.023000000", an end time and not a length
        return _parse_clock_time(tag) if tag else None
    if container.format.name not in {"mov,mp4,m4a,3gp,3g2,mj2", "avi", "flac", "wav"}:
        return None
    if not stream.duration or not stream.time_base:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def measured_end_s(path: str | Path, kind: str) -> float:
    """Reads a file's packets to find the time stamp at which its `video` or `audio` track ends; 0 without any."""
    with open_media(path) as container:
        stream = video_stream(container) if kind == "video" else audio_stream(container)
        end_s = 0.0
        if stream is not None:
            discard_others(container, stream)
            for packet in packets(container, stream):
                if packet.size:
                    end_s = max(end_s, sum(packet_span_s(packet, end_s, container.format.name == "avi")))
    return end_s


def packet_span_s(packet: av.Packet[Any], expected_s: float, is_avi: bool) -> tuple[float, float]:
    """Returns (start, duration) of a packet, by the stream's rate where the file does not state them."""
    rate = getattr(packet.stream, "average_rate", None)
    duration_s = float(packet.duration * packet.time_base) if packet.duration else float(1 / rate) if rate else 0.0
    stamp = packet.dts if packet.pts is None or is_avi else packet.pts
    return (expected_s if stamp is None else float(stamp * packet.time_base)), duration_s


def _parse_clock_time(text: str) -> float | None:
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def ends_early(end_s: float, promised_s: float | None, step_s: float = 0.0) -> bool:
    """Tells whether media that end here lack more than 0.5 s or 5 % of what was promised, in seconds.

    step_s: interval between the last frames. Where they are sparse, the last one may be shown for that long.
    """
    if promised_s is None:
        return False
    return promised_s - end_s > max(min(0.5, max(0.05 * promised_s, 0.1)), 1.5 * step_s)


class FramePts:
    """Reads the presentation time stamps (PTS) of decoded frames.

    AVI has none of its own: what FFmpeg derives is in decoding order there, so frames are counted by their decoding
    time stamps instead, from where the stream starts.
    """

    def __init__(self, container: InputContainer, stream: Stream) -> None:
        self._is_avi = container.format.name == "avi"
        self._start = stream.start_time or 0
        self._first: int | None = None

    def seconds(self, frame: av.VideoFrame) -> float | None:
        """Returns a frame's presentation time in seconds, None if the file does not say."""
        if not self._is_avi:
            return frame.time
        if frame.dts is None or frame.time_base is None:
            return None
        if self._first is None:
            self._first = frame.dts
        return float((frame.dts - self._first + self._start) * frame.time_base)


class PtsNormalizer:
    """Turns presentation time stamps into seconds on the file's clock, strictly increasing.

    A missing stamp follows its predecessor by `step_s`; a repeated one is dropped; a clock that jumps by more than a
    second, or beyond `end_s`, is taken to go on.
    """

    def __init__(self, start_s: float, step_s: float, end_s: float | None) -> None:
        self.step_s = step_s
        self._shift_s = -start_s
        self._end_s = float("inf") if end_s is None else end_s
        self._last_s: float | None = None

    def normalize(self, pts_s: float | None) -> float | None:
        """Returns seconds since the file's time 0; None for a frame that must be dropped."""
        expected_s = 0.0 if self._last_s is None else self._last_s + self.step_s
        time_s = expected_s if pts_s is None else pts_s + self._shift_s
        if self._last_s is not None:
            jumped = time_s < self._last_s - JUMP_S or time_s > max(self._end_s, self._last_s) + JUMP_S
            if jumped:
                self._shift_s += expected_s - time_s
                time_s = expected_s
            elif time_s <= self._last_s:
                return None
        self._last_s = time_s
        return time_s


def frames_on_clock(
    container: InputContainer, stream: VideoStream, name: str, start_s: float, step_s: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decodes (seconds since the file's time 0, frame), strictly ascending.

    start_s: time stamp of time 0; step_s: interval to assume between frames without time stamps. UnreadableMedia.
    """
    normalizer, pts = PtsNormalizer(start_s, step_s, length_s(container) or None), FramePts(container, stream)
    for frame in decoded_frames(container, stream, name):
        assert isinstance(frame, av.VideoFrame)
        time_s = normalizer.normalize(pts.seconds(frame))
        if time_s is not None:
            yield time_s, frame
