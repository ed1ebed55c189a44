"""Describes the streams of a file through FFmpeg: decodes one frame of each and counts the others.

Frames are counted from the container's own index where it has a whole one (mp4), else from the packets; neither
decodes anything. Knows of limits only what keeps it from starting something large.
"""

from __future__ import annotations

import itertools
from array import array
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer
from av.video.stream import VideoStream as AvVideoStream

from mudar.errors import MediaTooLong, PictureTooLarge, TruncatedMedia, UnreadableMedia
from mudar.media.decode.container import audio_stream, discard_others, length_s, open_media, packets, video_stream
from mudar.media.decode.orientation import display_size, orientation, pixel_aspect
from mudar.media.decode.timestamps import (
    container_start_s,
    ends_early,
    first_sound_s,
    packet_span_s,
    promised_end_s,
)
from mudar.media.probe.models import AudioStream, MediaInfo, ProbeLimits, VideoStream
from mudar.media.probe.still import is_still

TRIES = 300  # packets that may fail before a stream counts as one that cannot be decoded
HDR_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}  # PQ and HLG: H.273 number to FFmpeg's name
JITTER = 0.2  # an interval this far from the usual one is another interval,
VFR_SHARE = 0.01  # and more than this share of them makes the rate variable,
VFR_COUNT = 2  # if they are more than the odd first and last
LENGTH_IN_HEADER = {"wav", "w64", "aiff", "caf", "au"}  # plain samples: the header is exact, the packets are many


@dataclass
class PacketCount:
    """Collects when the packets of one stream start and end, in seconds of the file's time stamps."""

    start_s: float = float("inf")
    end_s: float = float("-inf")
    times_s: array[float] = field(default_factory=lambda: array("d"))  # of pictures only

    @property
    def any(self) -> bool:
        """Tells whether there was a packet with a time stamp."""
        return self.end_s >= self.start_s

    def add(self, start_s: float, duration_s: float, is_picture: bool) -> None:
        """Counts one more packet."""
        self.start_s = min(self.start_s, start_s)
        self.end_s = max(self.end_s, start_s + duration_s)
        if is_picture:
            self.times_s.append(start_s)


def probe_streams(path: str | Path, limits: ProbeLimits) -> MediaInfo:
    """Describes the streams of `path`, each of which is known to decode.

    Raises UnreadableMedia, PictureTooLarge, TruncatedMedia, MediaTooLong.
    """
    name = Path(path).name
    with open_media(path, limits.max_pixels) as container:
        _check_size(container, limits, name)
        picture = _first_picture(container, name)
    with open_media(path, limits.max_pixels) as container:
        has_sound = first_sound_s(container) is not None
    if picture is None and not has_sound:
        raise UnreadableMedia(f"{name} holds no picture and no sound that can be decoded.")
    with open_media(path, limits.max_pixels) as container:
        origin_s = container_start_s(container)
    with open_media(path, limits.max_pixels) as container:
        video, audio = video_stream(container), audio_stream(container) if has_sound else None
        streams = [stream for stream in (video, audio) if stream is not None]
        counts = _count_packets(container, streams, limits, name)
        for stream in streams:
            _check_end(container, stream, counts[stream.index], name)
        described = _describe_video(video, picture, counts[video.index], origin_s) if video and picture else None
        if described is not None and audio is not None:
            with open_media(path, limits.max_pixels) as again:
                described = replace(described, is_still=described.frames == 1 or is_still(again))
        return MediaInfo(
            path=str(path),
            container=container.format.name,
            duration_s=max(0.0, max(c.end_s for c in counts.values()) - origin_s),
            video=described,
            audio=_describe_audio(audio, counts[audio.index], origin_s) if audio and counts[audio.index].any else None,
        )


def is_hidden(packet: av.Packet[Any]) -> bool:
    """Tells whether a packet of VP8 or VP9 only holds a frame that others refer to and nobody sees (alt-ref).

    By the first byte of the frame's header: RFC 6386, section 9.1; VP9 bitstream specification, section 6.2.
    """
    name = packet.stream.codec_context.name
    if name not in {"vp8", "libvpx", "vp9", "libvpx-vp9"} or not packet.size:
        return False
    first = memoryview(packet)[0]
    if "9" not in name:
        return not first & 0x10
    profile_bits = 1 if first & 0x30 == 0x30 else 0  # profile 3 has a reserved bit more
    shows_existing = first >> (3 - profile_bits) & 1
    return not shows_existing and not first >> (1 - profile_bits) & 1


def _check_size(container: InputContainer, limits: ProbeLimits, name: str) -> None:
    stated_s = length_s(container)
    if stated_s > limits.max_duration_s and states_length(container):
        raise MediaTooLong(f"{name} lasts {stated_s:.0f} s; the limit is {limits.max_duration_s:.0f} s.")
    stream = video_stream(container)
    if stream is not None:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height * pixel_aspect(stream.sample_aspect_ratio) > limits.max_pixels:
            raise PictureTooLarge(f"The picture of {name} is {width}x{height}.")


def states_length(container: InputContainer) -> bool:
    """Tells whether the container states its duration, which is not estimated from a bit rate then."""
    return container.format.name not in {"mp3", "aac", "ac3", "eac3", "dts", "h264", "hevc", "m4v", "mpegvideo", "amr"}


def _first_picture(container: InputContainer, name: str) -> av.VideoFrame | None:
    """Decodes the first frame that can be decoded; None without a picture track."""
    stream = video_stream(container)
    if stream is None:
        return None
    discard_others(container, stream)
    stream.codec_context.thread_count = 1  # each thread would hold a frame
    for packet in itertools.islice(packets(container, stream), TRIES):
        with suppress(av.FFmpegError):  # the next packet may do
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    return frame
    raise UnreadableMedia(f"The picture of {name} ({stream.codec_context.name}) cannot be decoded.")


def _count_packets(
    container: InputContainer, streams: list[AvVideoStream | AvAudioStream], limits: ProbeLimits, name: str
) -> dict[int, PacketCount]:
    """Counts by the header where it can and reads the packets of the other streams, by stream index."""
    counts = {s.index: count for s in streams if (count := _from_header(container, s)) is not None}
    uncounted = [s for s in streams if s.index not in counts]
    return counts | (_from_packets(container, uncounted, limits, name) if uncounted else {})


def _from_header(container: InputContainer, stream: AvVideoStream | AvAudioStream) -> PacketCount | None:
    """Counts without reading on, by the index of an mp4 or the header of plain samples; None where there is neither."""
    if not stream.duration or not stream.time_base:
        return None
    base, start = float(stream.time_base), stream.start_time or 0
    count = PacketCount(start * base, (start + stream.duration) * base)
    if container.format.name in LENGTH_IN_HEADER:
        return count
    if not stream.frames or len(stream.index_entries) != stream.frames or container.format.name == "avi":
        return None
    if stream.type == "video":
        count.times_s.extend(e.timestamp * base for e in stream.index_entries if not e.is_discard)
    return count


def _from_packets(
    container: InputContainer, streams: list[AvVideoStream | AvAudioStream], limits: ProbeLimits, name: str
) -> dict[int, PacketCount]:
    discard_others(container, *streams)
    counts = {s.index: PacketCount() for s in streams}
    first_s: float | None = None
    is_avi = container.format.name == "avi"
    for packet in packets(container, *streams):
        if not packet.size or is_hidden(packet):
            continue
        count = counts[packet.stream_index]
        start_s, duration_s = packet_span_s(packet, count.end_s if count.any else 0.0, is_avi)
        first_s = start_s if first_s is None else first_s
        count.add(start_s, duration_s, packet.stream.type == "video")
        if start_s - first_s > limits.max_duration_s + 1:
            raise MediaTooLong(f"{name} lasts more than {limits.max_duration_s:.0f} s.")
    if not any(c.end_s > c.start_s for c in counts.values()):
        raise UnreadableMedia(f"{name} holds no media with time stamps.")
    return counts


def _check_end(container: InputContainer, stream: AvVideoStream | AvAudioStream, count: PacketCount, name: str) -> None:
    promised_s = promised_end_s(container, stream)
    ordered = sorted(count.times_s)
    step_s = ordered[-1] - ordered[-2] if len(ordered) > 1 else 0.0
    if ends_early(count.end_s, promised_s, step_s):
        raise TruncatedMedia(f"The {stream.type} of {name} ends at {count.end_s:.1f} s of {promised_s:.1f} s.")


def _describe_video(stream: AvVideoStream, picture: av.VideoFrame, count: PacketCount, origin_s: float) -> VideoStream:
    orient = orientation(picture)
    aspect = pixel_aspect(stream.sample_aspect_ratio)
    width, height = display_size(picture.width, picture.height, aspect, orient)
    components = picture.format.components
    fps, is_vfr = _frame_rate(stream, count.times_s)
    return VideoStream(
        width=width,
        height=height,
        rotation_deg=orient.clockwise_deg,
        fps=fps,
        is_vfr=is_vfr,
        frames=len(count.times_s) or None,
        codec=stream.codec_context.codec.canonical_name,
        pix_fmt=picture.format.name,
        bit_depth=max(c.bits for c in components),
        is_hdr=int(picture.color_trc) in HDR_TRANSFERS,
        has_alpha=has_alpha(stream, picture),
        start_s=count.start_s - origin_s,
        duration_s=count.end_s - count.start_s,
    )


def has_alpha(stream: AvVideoStream, picture: av.VideoFrame) -> bool:
    """Tells whether the picture is transparent in places, by its pixel format or as WebM states it."""
    return any(c.is_alpha for c in picture.format.components) or stream.metadata.get("alpha_mode") == "1"


def _describe_audio(stream: AvAudioStream, count: PacketCount, origin_s: float) -> AudioStream:
    context = stream.codec_context
    start_s = max(0.0, count.start_s - origin_s)  # packets may start with priming, which is not heard
    name = context.codec.canonical_name
    return AudioStream(context.sample_rate, context.channels, name, start_s, count.end_s - origin_s - start_s)


def _frame_rate(stream: AvVideoStream, times_s: array[float]) -> tuple[float, bool]:
    """Returns (average frames a second, whether the rate varies); a stated rate that the frames confirm is taken."""
    stated = float(stream.average_rate or stream.guessed_rate or 0)
    ordered = sorted(times_s)
    if len(ordered) < 2 or ordered[-1] <= ordered[0]:
        return stated, False
    measured = (len(ordered) - 1) / (ordered[-1] - ordered[0])
    steps = sorted(b - a for a, b in itertools.pairwise(ordered))
    usual = steps[len(steps) // 2]
    slack = JITTER * usual + 1.5 * float(stream.time_base or 0)
    steady = [step for step in steps if abs(step - usual) <= slack]
    is_vfr = len(steps) - len(steady) > max(VFR_SHARE * len(steps), VFR_COUNT)
    confirmed = abs(stated * sum(steady) - len(steady)) < 0.01 * len(steady)  # whatever gap a join left
    return (stated if not is_vfr and confirmed else measured), is_vfr
