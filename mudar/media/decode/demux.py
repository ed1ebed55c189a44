"""Decode one stream to its end, past a few damaged packets. Knows nothing of time, pictures or sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from mudar.errors import UnreadableMedia

DAMAGED_SHARE = 0.25  # of the packets; above, the result would be more invention than media
DAMAGED_COUNT = 20


def decoded_frames(
    container: InputContainer, stream: VideoStream | AudioStream, name: str
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Every frame of `stream` in display order. UnreadableMedia when too many packets are damaged."""
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
    """Packets until the file ends, or until it cannot be read on: whether that was too early is told by the clock.

    PyAV's own loop ends in an IndexError when a stream turned up in mid-file, as in some transport streams.
    """
    found = container.demux(*streams)
    while True:
        try:
            yield next(found)
        except (StopIteration, av.FFmpegError, IndexError):
            return
