"""Moves the sound of a file in time: packets are copied as they are, nothing is decoded or encoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from mudar.atomic_write import atomic_path
from mudar.errors import NoAudioStream, NoVideoStream, UnreadableMedia
from mudar.media.decode.container import (
    audio_stream,
    discard_others,
    length_s,
    open_media,
    packets,
    video_stream,
)
from mudar.progress import Progress, ignore

FORMATS = {"matroska": ("matroska", ".mkv"), "webm": ("matroska", ".mkv")}


def suffix_for(container: str) -> str:
    """Chooses the suffix of a rewritten file of this container (FFmpeg's names): .mkv for its own kind, else .mp4."""
    return next((FORMATS[name][1] for name in container.split(",") if name in FORMATS), ".mp4")


def move_sound(path: str | Path, out_path: str | Path, delay_s: float, progress: Progress = ignore) -> None:
    """Writes `out_path` with the sound `delay_s` later (earlier if negative: what falls before 0 is dropped).

    Raises NoVideoStream, NoAudioStream, UnreadableMedia when a codec does not go into the container; whatever
    `progress` raises passes. No file is left behind then.
    """
    out = Path(out_path)
    form = "matroska" if out.suffix == ".mkv" else "mp4"
    with atomic_path(out) as unfinished:
        try:
            _copy(path, unfinished, form, delay_s, progress)
        except (av.FFmpegError, ValueError) as error:
            raise UnreadableMedia(f"{Path(path).name} cannot be rewritten without encoding it: {error}.") from error


def _copy(path: str | Path, out: Path, form: str, delay_s: float, progress: Progress) -> None:
    with open_media(path) as source:
        picture, sound = video_stream(source), audio_stream(source)
        if picture is None:
            raise NoVideoStream()
        if sound is None:
            raise NoAudioStream()
        discard_others(source, picture, sound)
        duration_s = length_s(source)
        options = {"movflags": "+faststart"} if form == "mp4" else {}
        with av.open(str(out), "w", format=form, options=options) as target:
            into = {s.index: target.add_stream_from_template(s) for s in (picture, sound)}
            for packet in _delay_sound(packets(source, picture, sound), sound.index, delay_s):
                index = packet.stream.index
                if index == picture.index and duration_s and packet.pts is not None:
                    progress(min(1.0, float(packet.pts * packet.time_base) / duration_s), "remux")
                packet.stream = into[index]
                target.mux(packet)


def _delay_sound(demuxed: Iterator[av.Packet[Any]], sound: int, delay_s: float) -> Iterator[av.Packet[Any]]:
    """Delays the packets of stream `sound`; drops those that would be heard before 0."""
    for packet in demuxed:
        if packet.dts is None or packet.time_base is None:
            continue
        if packet.stream.index == sound:
            ticks = round(delay_s / packet.time_base)
            packet.dts += ticks
            packet.pts = packet.pts + ticks if packet.pts is not None else packet.dts
            if delay_s < 0 and packet.pts + (packet.duration or 0) <= 0:
                continue
        yield packet
