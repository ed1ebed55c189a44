"""What a finished file really holds, read back from it. Knows nothing of how it was made."""

from __future__ import annotations

from pathlib import Path

import av

from mudar.media.probe.container import audio_stream, open_media, video_stream


def av_lengths(path: str | Path) -> tuple[float, float]:
    """(picture, sound) seconds that the file's index states; 0 for a track that is not there."""
    with open_media(path) as container:
        tracks = (video_stream(container), audio_stream(container))
        video_s, audio_s = (
            float(t.duration * t.time_base) if t is not None and t.duration and t.time_base else 0.0 for t in tracks
        )
    return video_s, audio_s


def sound_length_s(path: str | Path) -> float:
    """Seconds of sound by the header of its track, else of the file."""
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is not None and stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return float((container.duration or 0) / av.time_base)
