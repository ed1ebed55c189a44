"""Measures retargeting of 30 s clips, large and small, beside a plain transcode with the same encoder settings.

Both are processor seconds of all threads and of child processes, which other work on the machine hardly changes.
Planning, the report and its independent detector are counted in.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.media.render.encode import AUDIO_BIT_RATE
from mudar.media.render.render import RenderSettings
from mudar.records import Rhythm
from mudar.retarget.retarget import AnalyzedFile, retarget
from mudar.retarget.settings import RetargetSettings
from tests.bench.media import clip_320px, clip_720p, song
from tests.bench.row import Row, cpu_seconds, in_turns

GOALS = {"nearest": 1.25, "blend": 1.5, "flow": 4.0}


def transcode(source: Path, out: Path, seconds: float) -> None:
    """Decodes and encodes `seconds` of the clip, picture and sound, with the renderer's own encoder settings.

    A shorter clip begins anew where it ends: what is compared is to be as long as a rendering.
    """
    settings = RenderSettings()
    with av.open(str(source)) as reader, av.open(str(out), "w") as writer:
        picture, sound = reader.streams.video[0], reader.streams.audio[0]
        rate = picture.average_rate or Fraction(30)
        options = {"crf": str(settings.crf), "preset": settings.preset, "profile": "high"}
        video = writer.add_stream("libx264", rate=rate, options=options)
        video.width, video.height, video.pix_fmt = picture.width, picture.height, "yuv420p"
        audio = writer.add_stream("aac", rate=sound.rate, layout="stereo")
        audio.bit_rate = AUDIO_BIT_RATE
        resampler = av.AudioResampler("fltp", "stereo", sound.rate)
        frames, samples, frame_count = 0, 0, round(seconds * rate)
        for frame in _decode_in_a_loop(source):
            if frames == frame_count:
                break
            frame.pts = None
            if isinstance(frame, av.VideoFrame):
                frame.pict_type, frame.pts, frame.time_base = 0, frames, 1 / rate
                frames += 1
                writer.mux(video.encode(frame))
                continue
            for block in resampler.resample(frame):
                block.pts, block.time_base = samples, Fraction(1, sound.rate)
                samples += block.samples
                writer.mux(audio.encode(block))
        writer.mux(video.encode(None))
        writer.mux(audio.encode(None))


def _decode_in_a_loop(source: Path) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decodes pictures and sound of the clip again and again."""
    while True:
        with av.open(str(source)) as reader:
            picture, sound = reader.streams.video[0], reader.streams.audio[0]
            picture.thread_type = "AUTO"
            yield from reader.decode(picture, sound)


def rows(folder: Path) -> Iterator[Row]:
    """Yields a row for each size and interpolation."""
    music = song(folder)
    embedder = Embedder.from_loaded(load_served())
    music_rhythm = embedder.music(music).rhythm
    for label, clip in (("720p", clip_720p(folder)), ("320 px wide", clip_320px(folder))):
        yield from _rows(folder, label, clip, embedder.dance(clip).rhythm, music, music_rhythm)


def _rows(folder: Path, label: str, clip: Path, dance: Rhythm, music: Path, music_rhythm: Rhythm) -> Iterator[Row]:
    out, plain = folder / "out.mp4", folder / "plain.mp4"
    pair = AnalyzedFile(clip, dance), AnalyzedFile(music, music_rhythm)
    for interpolation, goal in GOALS.items():
        settings = RetargetSettings(interpolation=interpolation)
        length_s = retarget(*pair, out, settings).duration_s
        warp_s, plain_s = in_turns(
            lambda settings=settings: retarget(*pair, out, settings),
            lambda length_s=length_s: transcode(clip, plain, length_s),
            rounds=3,
            clock=cpu_seconds,
        )
        ratio = warp_s / plain_s
        yield Row(
            f"retarget 30 s {label}, {interpolation}", f"{warp_s:.2f} core-s for {length_s:.1f} s",
            f"transcode {plain_s:.2f} core-s", ratio, ratio, f"<= {goal:g}x", ratio <= goal,
        )  # fmt: skip
