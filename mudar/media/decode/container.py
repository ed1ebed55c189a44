"""Opens a media file safely with FFmpeg, chooses the streams that count and decodes them past damaged packets.

Only demuxers of single-file media are allowed: a playlist could make FFmpeg open other files or the network.
Imports no numpy, so that a probe starts quickly. Knows nothing of sampling, of the model or of limits on length.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from mudar.errors import NoAudioStream, NoVideoStream, UnreadableMedia
from mudar.media.decode.joined_clock import RESTARTING, JoinedClock, mend_duration

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,wav,w64,flac,mp3,aac,aiff,"
    "caf,amr,ac3,eac3,dts,au,h264,hevc,m4v,ivf,obu,yuv4mpegpipe,nut,mxf,gxf,dv,rm,ape,wv,tta,tak,mpc,mpc8,gif,apng"
)
MAX_PIXELS = 8192 * 8192
MAX_THREADS = 8  # each decoder thread holds frames of its own
DAMAGED_SHARE = 0.25  # of the packets; above, the result would be more invention than media
DAMAGED_COUNT = 20
S = TypeVar("S", VideoStream, AudioStream)
NOT_A_PICTURE_TRACK = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def _unknown_side_data(kind: Any, value: int) -> Any:
    """Makes a member for a type of side data that FFmpeg knows and PyAV's enumeration does not."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return kind._value2member_map_.setdefault(value, member)


# Else a frame with one unknown piece of side data (a second view, EXIF) raises ValueError for all of them.
SideDataType._missing_ = classmethod(_unknown_side_data)  # type: ignore[assignment]


@contextmanager
def open_media(path: str | Path, max_pixels: int = MAX_PIXELS) -> Iterator[InputContainer]:
    """Opens a container; its decoders refuse pictures of more than `max_pixels`.

    UnreadableMedia if the file is in none of the formats that are allowed.
    """
    name = Path(path).name
    try:
        container = av.open(
            f"file:{Path(path).absolute()}",
            metadata_errors="replace",
            options={"max_pixels": str(max_pixels)},
            container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableMedia(f"{name} cannot be opened as a video or as music ({_reason(error)}).") from error
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(max_pixels)}
    try:
        yield container
    finally:
        container.close()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0][:200]


def video_stream(container: InputContainer) -> VideoStream | None:
    """Chooses the picture track: the default one, else the first, None without any. Cover art is not one."""
    return _default_or_first([s for s in container.streams.video if not s.disposition & NOT_A_PICTURE_TRACK])


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Chooses the sound track: the default one, else the first, None without any."""
    return _default_or_first(list(container.streams.audio))


def _default_or_first(tracks: list[S]) -> S | None:
    """Leaves out tracks without a codec context: FFmpeg does not know their codec."""
    known = [s for s in tracks if s.codec_context is not None]
    return next((s for s in known if s.disposition & Disposition.default), known[0] if known else None)


def select_video(container: InputContainer, name: str) -> VideoStream:
    """Chooses the picture track to be decoded in threads and skips all others; NoVideoStream without any."""
    stream = video_stream(container)
    if stream is None:
        raise NoVideoStream(f"{name} has no picture.")
    discard_others(container, stream)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
    return stream


def select_audio(container: InputContainer, name: str) -> AudioStream:
    """Chooses the sound track and skips all others; NoAudioStream without any."""
    stream = audio_stream(container)
    if stream is None:
        raise NoAudioStream(f"{name} has no sound.")
    discard_others(container, stream)
    return stream


def discard_others(container: InputContainer, *streams: VideoStream | AudioStream) -> None:
    """Lets the demuxer skip every stream but these, and those whose stamps are needed to mend theirs."""
    needed = {s.index for s in (*streams, *_clock_streams(container))}
    for stream in container.streams:
        if stream.index not in needed:
            stream.discard = Discard.all


def may_restart(container: InputContainer) -> bool:
    """Tells whether the time stamps of this format may begin again in mid-file."""
    return container.format.name in RESTARTING


def _clock_streams(container: InputContainer) -> list[VideoStream | AudioStream]:
    """Chooses the streams that together say how a clock went on that may begin again; none for other formats."""
    chosen = (video_stream(container), audio_stream(container)) if may_restart(container) else ()
    return [stream for stream in chosen if stream is not None]


def length_s(container: InputContainer) -> float:
    """Seconds that the container states as its length, 0 where it states none or only its last stamp tells."""
    return 0.0 if may_restart(container) else (container.duration or 0) / av.time_base


def decoded_frames(
    container: InputContainer, stream: VideoStream | AudioStream, name: str
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decodes every frame of `stream` in display order. UnreadableMedia when too many packets are damaged."""
    count = damaged = 0
    for packet in packets(container, stream):
        count += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if isinstance(frame, av.VideoFrame | av.AudioFrame):
                yield frame
    if damaged > DAMAGED_COUNT and damaged > DAMAGED_SHARE * count:
        raise UnreadableMedia(f"{damaged} of {count} packets of {name} are damaged.")


def packets(container: InputContainer, *streams: VideoStream | AudioStream) -> Iterator[av.Packet[Any]]:
    """Reads packets, on one clock, until the file ends or cannot be read on; the stamps say whether that was too early.

    PyAV's own loop ends in an IndexError when a stream turned up in mid-file, as in some transport streams.
    """
    chosen = {stream.index for stream in streams}
    clock = JoinedClock() if may_restart(container) else None
    demuxed = container.demux(*streams, *(s for s in _clock_streams(container) if s.index not in chosen))
    usual: dict[int, int] = {}
    while True:
        try:
            packet = next(demuxed)
        except (StopIteration, av.FFmpegError, IndexError):
            return
        index = packet.stream_index
        mend_duration(packet, usual.get(index, 0))
        usual[index] = packet.duration or usual.get(index, 0)
        if clock is not None:
            clock.mend(packet)
        if index in chosen:
            yield packet
