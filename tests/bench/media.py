"""Generates the files to measure on, so that the benchmark needs nothing but the repository."""

from __future__ import annotations

from pathlib import Path

import av

from training.data.synthetic.clip import write_clip, write_song


def clip_720p(folder: Path, duration_s: float = 30.0) -> Path:
    """Writes a 1280x720 dance with its music at 30 frames/s, unless it is there."""
    path = folder / "clip-720p.mp4"
    if not path.exists():
        write_clip(path, seed=1, duration_s=duration_s, width=1280, height=720)
    return path


def clip_320px(folder: Path, duration_s: float = 30.0) -> Path:
    """Writes the same dance at 320x180, unless it is there."""
    path = folder / "clip-320px.mp4"
    if not path.exists():
        write_clip(path, seed=1, duration_s=duration_s, width=320, height=180)
    return path


def song(folder: Path, duration_s: float = 40.0) -> Path:
    """Writes a song that is not the clip's own, unless it is there."""
    path = folder / "song.flac"
    if not path.exists():
        write_song(path, seed=5, duration_s=duration_s)
    return path


def long_1080p(folder: Path, duration_s: float = 600.0) -> Path:
    """Writes a 10-minute 1920x1080 dance: ten seconds are drawn and their packets repeated."""
    path, part = folder / "long-1080p.mp4", folder / "part-1080p.mp4"
    write_clip(part, seed=2, duration_s=10.0, width=1920, height=1080, with_audio=False)
    with av.open(str(path), "w") as out:
        stream, shift = None, 0
        for _ in range(round(duration_s / 10.0)):
            with av.open(str(part)) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    packet.stream = stream
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    out.mux(packet)
                shift += video.duration
    part.unlink()
    return path
