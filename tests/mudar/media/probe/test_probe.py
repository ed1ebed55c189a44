"""What the probe says of good files, against what was written into them."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from mudar.media.decode.video import timed_frames
from mudar.media.probe.models import ProbeLimits
from mudar.media.probe.probe import probe
from mudar.media.render.source import frames, inspect_video

Clip = Callable[..., Path]
TICK_S = 0.0011  # matroska and flv count milliseconds
UNEVEN_S = [0, 0.1, 0.15, 0.4, 0.433, 0.9, 1.1, 1.5, 1.52, 1.9]

CONTAINERS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "begin.mp4": {"container_options": {"movflags": "faststart"}},
    "pieces.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}},
    "b-frames.mp4": {"video": "libx264"},
    "plain.mov": {"audio": "pcm_s16le"},
    "plain.mkv": {},
    "vp8.webm": {"video": "libvpx", "audio": "libopus", "seconds": 1.2, "codec_options": {"deadline": "realtime"}},
    "live.webm": {  # as a browser records: neither duration nor index
        "video": "libvpx",
        "audio": "libopus",
        "seconds": 1.2,
        "container_options": {"live": "1"},
        "codec_options": {"deadline": "realtime"},
    },
    "plain.avi": {"video": "mjpeg", "pix_fmt": "yuvj420p", "audio": "pcm_s16le"},
    "plain.ts": {},
    "plain.flv": {"video": "flv1"},
    "silent.gif": {"video": "gif", "audio": None, "pix_fmt": "rgb8", "fps": 10},
    "silent.mp4": {"audio": None},
    "bare.h264": {"video": "libx264", "audio": None, "fps": 25},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(clip: Clip, name: str) -> None:
    recipe = {"seconds": 2.0, "fps": 30, **CONTAINERS[name]}
    info = probe(clip(name, **recipe))
    assert info.video is not None
    assert (info.video.width, info.video.height, info.video.rotation_deg) == (160, 96, 0)
    assert info.video.frames == round(recipe["seconds"] * recipe["fps"])
    assert not info.video.is_vfr
    assert info.video.fps == pytest.approx(recipe["fps"], rel=0.015)
    assert info.duration_s == pytest.approx(recipe["seconds"], abs=0.05)
    assert (info.audio is None) == (recipe.get("audio", "") is None)
    if info.audio is not None:
        assert (info.audio.sample_rate_hz, info.audio.channels) == (48_000, 2)
        assert info.audio.duration_s == pytest.approx(recipe["seconds"], abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_rate_is_seen_and_a_dropped_frame_is_none(clip: Clip, suffix: str) -> None:
    uneven = probe(clip(f"uneven.{suffix}", times_s=UNEVEN_S)).video
    assert uneven is not None
    assert uneven.is_vfr
    assert uneven.frames == len(UNEVEN_S)
    assert uneven.fps == pytest.approx((len(UNEVEN_S) - 1) / UNEVEN_S[-1], rel=1e-3)
    dropped = probe(clip(f"dropped.{suffix}", times_s=[i / 30 for i in range(60) if i != 20])).video
    assert dropped is not None
    assert not dropped.is_vfr


@pytest.mark.parametrize(
    ("ccw", "clockwise", "size"), [(0, 0, (160, 96)), (90, 270, (96, 160)), (180, 180, (160, 96)), (-90, 90, (96, 160))]
)
def test_rotation(clip: Clip, ccw: float, clockwise: int, size: tuple[int, int]) -> None:
    video = probe(clip("turned.mp4", rotate_ccw_deg=ccw)).video
    assert video is not None
    assert (video.rotation_deg, (video.width, video.height)) == (clockwise, size)


def test_pixels(clip: Clip) -> None:
    wide = probe(clip("wide.mp4", aspect=Fraction(4, 3))).video
    assert wide is not None
    assert (wide.width, wide.height) == (213, 96)
    odd = probe(clip("odd.mkv", video="ffv1", size=(161, 97), pix_fmt="yuva444p")).video
    assert odd is not None
    assert (odd.width, odd.height, odd.has_alpha, odd.bit_depth) == (161, 97, True, 8)
    deep = probe(clip("deep.mkv", video="ffv1", pix_fmt="yuv420p10le")).video
    assert deep is not None
    assert (deep.bit_depth, deep.pix_fmt, deep.is_hdr, deep.has_alpha) == (10, "yuv420p10le", False, False)


@pytest.mark.parametrize(
    ("name", "audio", "layout"),
    [
        ("a.wav", "pcm_s16le", "mono"),
        ("a.flac", "flac", "stereo"),
        ("a.mp3", "libmp3lame", "stereo"),
        ("a.m4a", "aac", "5.1"),
        ("a.ogg", "libopus", "stereo"),
        ("a.aac", "aac", "mono"),
    ],
)
def test_music(clip: Clip, name: str, audio: str, layout: str) -> None:
    info = probe(clip(name, video=None, audio=audio, layout=layout, seconds=3.0))
    assert info.video is None
    assert info.audio is not None
    assert info.audio.channels == av.AudioLayout(layout).nb_channels
    assert info.duration_s == pytest.approx(3.0, abs=0.06)


@pytest.mark.parametrize(("name", "audio"), [("a.m4a", "aac"), ("a.mp3", "libmp3lame"), ("a.flac", "flac")])
def test_cover_art_is_no_dance(tmp_path: Path, clip: Clip, name: str, audio: str) -> None:
    song = with_cover(clip(name, video=None, audio=audio), tmp_path / name)
    with av.open(str(song)) as container:
        assert len(container.streams.video) == 1  # FFmpeg does show it as a picture track
    info = probe(song)
    assert info.video is None
    assert info.audio is not None
    assert info.duration_s == pytest.approx(2.0, abs=0.05)


def with_cover(song: Path, out: Path) -> Path:
    """The same sound with an attached picture."""
    with av.open(str(song)) as source, av.open(str(out), "w", format="mp4" if out.suffix == ".m4a" else None) as target:
        sound = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), format="rgb24")
        target.mux(cover.encode(picture))
        target.mux(cover.encode(None))
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
    return out


def test_starts_lie_on_one_clock(clip: Clip) -> None:
    late_sound = probe(clip("late-sound.mkv", sound_starts_s=0.4))
    assert late_sound.audio is not None
    assert late_sound.video is not None
    assert late_sound.video.start_s == pytest.approx(0.0, abs=TICK_S)
    assert late_sound.audio.start_s == pytest.approx(0.4, abs=0.025)  # AAC's priming may count as sound
    late_picture = probe(clip("late-picture.mp4", video_starts_s=0.4))
    assert late_picture.video is not None
    assert late_picture.video.start_s == pytest.approx(0.4, abs=TICK_S)
    assert late_picture.duration_s == pytest.approx(2.4, abs=TICK_S)


@pytest.mark.parametrize(("orientation", "size"), [(1, (160, 96)), (6, (96, 160))])
def test_exif_in_motion_jpeg_is_no_fault(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    """FFmpeg gives EXIF as side data of a type that PyAV's enumeration does not know."""
    path = tmp_path / "camera.mkv"
    image = Image.fromarray(np.full((96, 160, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A camera"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for number in range(45):
            jpeg = io.BytesIO()
            image.save(jpeg, "JPEG", exif=exif)
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base = stream, Fraction(1, 30)
            packet.pts = packet.dts = number
            out.mux(packet)
    video = probe(path).video
    assert video is not None
    assert (video.width, video.height) == size


def test_spatial_video_of_the_shared_cases() -> None:
    path = Path(__file__).resolve().parents[5] / "shared" / "cases" / "mvhevc_5frames.mov"
    if not path.exists():
        pytest.skip("the folder of cases is not beside the checkout")
    video = probe(path, ProbeLimits(min_duration_s=0.0)).video
    assert video is not None
    assert video.frames == 5


@pytest.mark.slow
def test_a_song_with_a_picture_that_stands_still_is_music(clip: Clip) -> None:
    """The usual uploads of a song: one frame for its length, or the cover in every frame, compressed."""
    cover = np.random.default_rng(1).integers(0, 255, (6, 10, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    options = {"codec_options": {"g": "30"}, "picture": cover}
    for path in (
        clip("one.mp4", times_s=[0.0], sound_seconds=6.0, video="libx264"),
        clip("cover.mp4", seconds=6.0, video="libx264", **options),
        clip("short.mp4", seconds=3.0, video="libx264", codec_options={"g": "250"}, picture=cover),
        clip("slow.mp4", times_s=[0, 1, 2, 3, 4, 5], sound_seconds=6.0, video="libx264", **options),
        clip("cover.webm", seconds=6.0, video="libvpx", audio="libopus", picture=cover),
    ):
        info = probe(path)
        assert info.kind == "music", path
        assert "stands still" in info.notes[0]


def test_a_picture_that_moves_is_a_dance(clip: Clip) -> None:
    for seconds, group in ((2.0, "250"), (6.0, "30"), (8.0, "12")):
        info = probe(clip("moves.mp4", seconds=seconds, video="libx264", codec_options={"g": group}))
        assert (info.kind, info.notes) == ("dance", ())
    cover = np.zeros((96, 160, 3), np.uint8)
    assert probe(clip("mute.mp4", seconds=2.0, picture=cover, audio=None)).kind == "dance"  # no song to be


@pytest.mark.parametrize("name", ["slow.mp4", "slow.mkv", "slow.mov"])
def test_half_a_frame_a_second_is_not_cut_off(clip: Clip, name: str) -> None:
    path = clip(name, times_s=[2.0 * k for k in range(6)], audio="aac", sound_seconds=12.0, video="libx264")
    video = probe(path).video
    assert video is not None
    assert video.fps == pytest.approx(0.5, rel=0.02)
    assert [frame.time_s for frame in timed_frames(path)] == pytest.approx([0, 2, 4, 6, 8, 10], abs=0.03)
    form = inspect_video(path)
    assert sum(1 for _ in frames(path, form)) == 6
