"""The Embedder, on real files made here: a body that strikes at known times, and a song that clicks."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from mudar import spec as specs
from mudar.embed import Embedder
from mudar.errors import Cancelled, MediaTooShort, NoAudioStream, NoVideoStream, SilentAudio, StillVideo
from mudar.features.motion import extract_motion
from mudar.model.config import paper, small
from mudar.model.mudar import build
from mudar.records import Analysis
from mudar.spec import FeatureSpec

pytestmark = pytest.mark.slow

SPEC = FeatureSpec()
CONFIG = replace(small(), d_model=16, layers=1, embed_dim=8, injector_dim=8, audio_channels=(2, 4, 4), estimator_dim=8)
PERIOD_S = 0.5
TEXTURE = np.random.default_rng(0).integers(40, 216, (12, 12), dtype=np.uint8).repeat(8, 0).repeat(8, 1)


def position(time_s: float) -> float:
    """Where the body is, in 0..1 from left to right: it hurries through the middle every half second."""
    return 0.5 + 0.12 * float(np.cos(np.pi * time_s / PERIOD_S))


def scene(time_s: float) -> np.ndarray:
    """A textured square on grey, (180, 320)."""
    picture = np.full((180, 320), 90, np.uint8)
    left = round(position(time_s) * (320 - 96))
    picture[42:138, left : left + 96] = TEXTURE
    return picture


def film(path: Path, duration_s: float, fps: int = 30, show: Callable[[float], np.ndarray] = scene) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for i in range(round(duration_s * fps)):
            frame = av.VideoFrame.from_ndarray(show(i / fps), format="gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return path


def song(path: Path, duration_s: float, bpm: float = 120, level: float = 0.5) -> Path:
    """Decaying noise on each beat."""
    rate, rng = 24_000, np.random.default_rng(1)
    samples = np.zeros(round(duration_s * rate), np.float32)
    for start in range(rate // 4, len(samples), round(60 / bpm * rate)):
        burst = level * rng.standard_normal(2400) * np.exp(-np.arange(2400) / 500)
        samples[start : start + 2400] += burst[: len(samples) - start].astype(np.float32)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(build(CONFIG, SPEC, seed=3), SPEC, "tiny@1")


@pytest.fixture(scope="module")
def dance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("dance") / "dance.mp4", 14.0)


@pytest.fixture(scope="module")
def analysis(embedder: Embedder, dance: Path) -> Analysis:
    return embedder.dance(dance)


@pytest.fixture(scope="module")
def heard(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return embedder.music(song(tmp_path_factory.mktemp("song") / "song.wav", 20.0))


def test_a_dance_is_whole(analysis: Analysis) -> None:
    assert (analysis.kind, analysis.model) == ("dance", "tiny@1")
    assert analysis.duration_s == pytest.approx(14.0, abs=0.02)
    assert [segment.start_s for segment in analysis.segments] == pytest.approx([0, 4, 6], abs=0.02)
    rhythm = analysis.rhythm
    assert len(rhythm.curve) == 210
    assert rhythm.curve.min() > 0
    assert len(rhythm.times_s) == len(rhythm.strengths)
    assert (np.diff(rhythm.times_s) > 0).all()
    assert {"decode", "flow", "network", "rhythm", "total"} <= analysis.stage_s.keys()
    assert all(seconds >= 0 for seconds in analysis.stage_s.values())


def test_vectors_have_norm_one(analysis: Analysis, heard: Analysis) -> None:
    for segment in (*analysis.segments, *heard.segments):
        assert segment.embedding.shape == (CONFIG.embed_dim,)
        assert segment.rhythm.shape == (CONFIG.rhythm_dim,)
        assert np.linalg.norm(segment.embedding) == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(segment.rhythm) == pytest.approx(1, abs=1e-5)


def test_music_is_whole(heard: Analysis) -> None:
    assert heard.duration_s == pytest.approx(20.0, abs=0.01)
    assert [segment.start_s for segment in heard.segments] == [0, 4, 8, 12]
    true_s = 0.25 + 0.5 * np.arange(40)
    assert np.abs(heard.rhythm.times_s[:, None] - true_s).min(axis=0).max() < 0.02
    assert heard.rhythm.tempo_bpm == pytest.approx(120, rel=0.01)
    assert len(heard.rhythm.curve) == 300
    on_beat = heard.rhythm.curve[np.rint(true_s * 15).astype(int).clip(0, 299)]
    assert on_beat.mean() > 4 * heard.rhythm.curve.mean()


def test_the_same_file_gives_the_same_numbers(embedder: Embedder, analysis: Analysis, dance: Path) -> None:
    again = embedder.file(dance, "dance")
    np.testing.assert_array_equal(again.rhythm.times_s, analysis.rhythm.times_s)
    for one, two in zip(again.segments, analysis.segments, strict=True):
        np.testing.assert_array_equal(one.embedding, two.embedding)
        np.testing.assert_array_equal(one.rhythm, two.rhythm)


def test_a_segment_is_what_the_network_says_of_its_frames(embedder: Embedder, analysis: Analysis, dance: Path) -> None:
    """Against the network asked directly, for the middle window, alone."""
    from mudar.model.inputs import motion_input

    motion = extract_motion(dance, SPEC)
    rows = motion_input(motion.between, SPEC.video)[60:180]
    with torch.no_grad():
        code = embedder.model.encode_dance(torch.from_numpy(rows)[None])
    np.testing.assert_allclose(analysis.segments[1].embedding, code.embedding[0], atol=1e-5)


@pytest.mark.parametrize("duration_s", [1.2, 5.0, 8.5])
def test_short_clips_are_one_or_two_segments(embedder: Embedder, tmp_path: Path, duration_s: float) -> None:
    segments = embedder.dance(film(tmp_path / "short.mp4", duration_s))
    assert len(segments.segments) == (1 if duration_s <= 8 else 2)
    assert segments.segments[-1].end_s == pytest.approx(duration_s, abs=0.05)
    assert len(segments.rhythm.curve) == round(duration_s * 15)
    sound = embedder.music(song(tmp_path / "short.wav", duration_s))
    assert len(sound.segments) == len(segments.segments)


@pytest.mark.parametrize("fps", [12, 24, 30, 60])
def test_speed_does_not_depend_on_the_files_frame_rate(tmp_path: Path, fps: int) -> None:
    """24 frames a second are sampled at 15 by unequal steps: the flow is divided by its true duration."""
    motion = extract_motion(film(tmp_path / "rate.mp4", 4.0, fps), SPEC)
    speed = motion.between[:, SPEC.video.hoof_bins]
    clock = (np.arange(len(speed)) + 0.5) / 15
    expected = np.abs(np.sin(np.pi * clock / PERIOD_S))
    assert motion.frames == 60
    assert np.corrcoef(speed, expected)[0, 1] > (0.85 if fps < 15 else 0.93)


def test_native_motion_is_fastest_where_the_body_hurries(dance: Path) -> None:
    from mudar.rhythm.motion_speed import motion_extrema

    motion = extract_motion(dance, SPEC)
    peaks_s = dict(motion_extrema(motion.native_times_s, motion.native_displacement))["speed peak"]
    off_s = (peaks_s - PERIOD_S / 2 + PERIOD_S / 2) % PERIOD_S - PERIOD_S / 2
    assert len(peaks_s) == pytest.approx(28, abs=2)
    assert np.median(np.abs(off_s)) < 0.5 / 30  # half a frame; the body is drawn at whole pixels


def test_progress_rises_to_one_and_may_stop_the_work(embedder: Embedder, dance: Path) -> None:
    reported: list[tuple[float, str]] = []
    embedder.dance(dance, lambda fraction, stage: reported.append((fraction, stage)))
    fractions = [fraction for fraction, _ in reported]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {stage for _, stage in reported} == {"watch", "network", "rhythm"}

    def stop(fraction: float, stage: str) -> None:
        if fraction > 0.2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        embedder.dance(dance, stop)


def test_what_has_no_rhythm_is_refused(embedder: Embedder, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    still = film(tmp_path / "still.mp4", 2.0, show=lambda _: scene(0.0))
    grain = film(
        tmp_path / "grain.mp4", 2.0, show=lambda _: (scene(0.0) + rng.integers(0, 4, (180, 320))).astype(np.uint8)
    )
    for path in (still, grain):
        with pytest.raises(StillVideo):
            embedder.dance(path)
    with pytest.raises(NoAudioStream):
        embedder.music(still)
    with pytest.raises(NoVideoStream):
        embedder.dance(song(tmp_path / "song.wav", 2.0))
    with pytest.raises(SilentAudio):
        embedder.music(song(tmp_path / "silence.wav", 2.0, level=0.0))
    with pytest.raises(MediaTooShort):
        embedder.dance(film(tmp_path / "blink.mp4", 0.3))
    with pytest.raises(MediaTooShort):
        embedder.music(song(tmp_path / "blip.wav", 0.3))


def test_a_still_camera_and_a_panning_one_see_the_same_dance(tmp_path: Path) -> None:
    """The camera's motion is taken out."""
    wall = cv2.resize(np.random.default_rng(3).integers(40, 160, (30, 80), dtype=np.uint8), (640, 240))

    def panned(time_s: float) -> np.ndarray:
        picture = empty(time_s).copy()
        left = round(position(time_s) * (320 - 96) + 40 * (1.5 - time_s))  # the room passes by, with the dancer in it
        picture[42:138, left : left + 96] = TEXTURE
        return picture

    def empty(time_s: float) -> np.ndarray:
        return wall[30:210, round(40 * time_s) : round(40 * time_s) + 320]

    dancing = extract_motion(film(tmp_path / "pan.mp4", 3.0, show=panned), SPEC).between[:, SPEC.video.hoof_bins]
    clock = (np.arange(len(dancing)) + 0.5) / 15
    assert np.corrcoef(dancing, np.abs(np.sin(np.pi * clock / PERIOD_S)))[0, 1] > 0.8
    bare = extract_motion(
        film(tmp_path / "wall.mp4", 3.0, show=empty),
        replace(SPEC),
    ).between[:, SPEC.video.hoof_bins]
    assert np.median(bare) < 0.2 * np.median(dancing)


def test_motion_of_a_wide_file_is_the_mean_of_both_shapes(dance: Path) -> None:
    both, strokes, square = (
        extract_motion(dance, replace(SPEC, video=replace(SPEC.video, flow_shape=shape))).between
        for shape in ("both", "strokes", "square")
    )
    assert not np.allclose(strokes, square, atol=1e-3)
    # The square is made of the strokes shape here, and of the file itself there.
    speeds = [rows[:, SPEC.video.hoof_bins] for rows in (both, (strokes + square) / 2)]
    np.testing.assert_allclose(*speeds, atol=0.05 * float(speeds[1].max()))


@pytest.mark.parametrize("shape", ["square", "both"])
def test_frames_are_shown_square_whatever_the_flow_sees(dance: Path, shape: specs.FlowShape) -> None:
    shown: list[np.ndarray] = []
    spec = replace(SPEC, video=replace(SPEC.video, flow_shape=shape))
    motion = extract_motion(dance, spec, on_frame=shown.append, frame_size_px=160)
    assert len(shown) == motion.frames
    assert {picture.shape for picture in shown} == {(160, 160, 3)}
    alone = extract_motion(dance, spec).between[:, SPEC.video.hoof_bins]
    assert np.corrcoef(motion.between[:, SPEC.video.hoof_bins], alone)[0, 1] > 0.97


def test_a_network_that_looks_at_frames_is_shown_them(tmp_path: Path) -> None:
    spec = replace(specs.paper(), video=replace(specs.paper().video, flow="dis", flow_size_px=64))
    config = replace(
        paper(), d_model=16, layers=1, embed_dim=8, audio_channels=(2, 2, 4, 4), estimator_dim=8,
        pyramid_channels=(4, 4, 8), pyramid_levels=3, appearance_size_px=32,
    )  # fmt: skip
    looking = Embedder(build(config, spec), spec, "looking@1")
    left = looking.dance(film(tmp_path / "a.mp4", 9.0))
    dark = looking.dance(film(tmp_path / "b.mp4", 9.0, show=lambda t: (scene(t) // 3).astype(np.uint8)))
    assert len(left.segments) == 2
    assert len(left.rhythm.curve) == 72
    assert not np.allclose(left.segments[0].embedding, dark.segments[0].embedding, atol=1e-3)
