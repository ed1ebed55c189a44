"""Finds out whether a picture track is one picture that stands still under a song. Decodes few frames; no numpy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mudar.media.decode.container import discard_others, length_s, packets, video_stream

PLACES = (0.5, 0.1, 0.3, 0.7, 0.9)  # of the length, whose pictures are compared; a fade at the ends is none of them
NEIGHBOURS = 200  # frames after the middle that are compared too: a loop may have the same key frames
SIDE_PX = 48
NOISE = 6  # grey levels (of 255) by which compression alone may change a pixel of the small picture


def is_still(container: InputContainer) -> bool:
    """Tells whether nothing in the picture changes, as far as a few frames say; False where it cannot seek."""
    stream = video_stream(container)
    stated_s = length_s(container)
    if stream is None or not stated_s:
        return False
    discard_others(container, stream)
    stream.codec_context.thread_count = 1
    with suppress(av.FFmpegError):
        pictures = _pictures(container, stream, stated_s)
        first = next(pictures, None)
        return first is not None and all(_same(first, picture) for picture in pictures)
    return False


def _pictures(container: InputContainer, stream: VideoStream, stated_s: float) -> Iterator[bytes]:
    """Decodes small gray pictures: one at each place, then those that follow the first place."""
    start_s = (container.start_time or 0) / av.time_base
    for share, count in (*((share, 1) for share in PLACES), (PLACES[0], NEIGHBOURS)):
        container.seek(int((start_s + share * stated_s) * av.time_base), backward=True)
        frames = (frame for packet in packets(container, stream) for frame in packet.decode())
        for frame in itertools.islice(frames, count):
            gray = frame.reformat(width=SIDE_PX, height=SIDE_PX, format="gray", interpolation="AREA")
            plane = gray.planes[0]
            rows = memoryview(plane)
            yield b"".join(bytes(rows[y * plane.line_size : y * plane.line_size + SIDE_PX]) for y in range(SIDE_PX))
        stream.codec_context.flush_buffers()


def _same(first: bytes, second: bytes) -> bool:
    return max(abs(a - b) for a, b in zip(first, second, strict=True)) <= NOISE
