"""Open a file with FFmpeg, safely, and choose the streams that count.

Only demuxers of single-file media are allowed: a playlist could make FFmpeg open other files or the network.
Knows nothing of sampling, of the model or of limits on length.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from mudar.errors import UnreadableMedia

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,wav,w64,flac,mp3,aac,aiff,"
    "caf,amr,ac3,eac3,dts,au,h264,hevc,m4v,ivf,obu,yuv4mpegpipe,nut,mxf,gxf,dv,rm,ape,wv,tta,tak,mpc,mpc8,gif,apng"
)
MAX_PIXELS = 8192 * 8192
S = TypeVar("S", VideoStream, AudioStream)
NOT_A_PICTURE_TRACK = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


@contextmanager
def open_media(path: str | Path, max_pixels: int = MAX_PIXELS) -> Iterator[InputContainer]:
    """An open container; UnreadableMedia if it is none of the formats we take. Decoders refuse over `max_pixels`."""
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
    """The picture track (the default one, else the first); cover art is not one. None if there is none."""
    return _default_first([s for s in container.streams.video if not s.disposition & NOT_A_PICTURE_TRACK])


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The sound track (the default one, else the first), None if there is none."""
    return _default_first(list(container.streams.audio))


def _default_first(tracks: list[S]) -> S | None:
    """A track whose codec FFmpeg does not know has no codec context, and does not count."""
    known = [s for s in tracks if s.codec_context is not None]
    return next((s for s in known if s.disposition & Disposition.default), known[0] if known else None)


def read_only(container: InputContainer, *kept: VideoStream | AudioStream | None) -> None:
    """Let the demuxer skip every stream but `kept`."""
    for stream in container.streams:
        if stream.index not in {k.index for k in kept if k is not None}:
            stream.discard = Discard.all
