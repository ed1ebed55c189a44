"""The lag between picture and sound, on rhythms and on a file whose lag is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.errors import MediaTooShort, NoAudioStream
from mudar.media.decode.audio import decode_audio
from mudar.media.render.remux import move_sound, suffix_for
from mudar.records import Rhythm
from mudar.rhythm.av_sync import compare

EMPTY = np.zeros(0, np.float32)


def rhythm(times: np.ndarray) -> Rhythm:
    at = times.astype(np.float32)
    return Rhythm(at, np.ones(len(at), np.float32), EMPTY, 15.0, 120.0, (), at)


def beats(seed: int, end_s: float = 30.0) -> np.ndarray:
    """Beats of a tempo that drifts, as people's does: a perfect click would match itself at every beat."""
    rng = np.random.default_rng(seed)
    return 0.3 + np.cumsum(0.5 + 0.06 * rng.standard_normal(int(end_s / 0.5) - 2))


@pytest.mark.parametrize("late_s", [-0.2, -0.06, 0.0, 0.08, 0.23])
def test_finds_the_lag_of_the_picture(late_s: float) -> None:
    heard = beats(1)
    rng = np.random.default_rng(2)
    picture_s = heard[rng.random(len(heard)) < 0.8] + late_s + 0.015 * rng.standard_normal(1)
    sync = compare(rhythm(picture_s[picture_s > 0]), rhythm(heard), 31.0)
    assert sync.offset_s == pytest.approx(late_s, abs=0.02 + 0.015)
    assert sync.sure
    assert sync.verdict == ("in_time" if abs(late_s) < 0.03 else "off")


def test_another_songs_beats_leave_it_unsure() -> None:
    sync = [compare(rhythm(beats(seed)), rhythm(beats(seed + 100)), 31.0) for seed in range(20)]
    assert np.mean([f.confidence for f in sync]) < 0.8  # chance has a uniform confidence
    assert not any(f.sure for f in sync)
    assert {f.verdict for f in sync} == {"unsure"}


@pytest.mark.parametrize(("period_s", "sure"), [(0.6, True), (0.4, False)])
def test_a_beat_that_may_be_the_next_one_is_not_sure(period_s: float, sure: bool) -> None:
    """Of a steady click every lag is also another one, a beat away: sure only where that would be seen by anyone."""
    click = np.arange(0.5, 30, period_s)
    ticking = Rhythm(
        click.astype(np.float32),
        np.ones(len(click), np.float32),
        EMPTY,
        15.0,
        60 / period_s,
        (),
        click.astype(np.float32),
    )
    sync = compare(ticking, ticking, 31.0)
    assert abs(sync.offset_s) < 0.01
    assert sync.sure == sure


def test_too_short() -> None:
    with pytest.raises(MediaTooShort):
        compare(rhythm(np.array([1.0])), rhythm(np.array([1.0])), 3.0)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """3 s of picture with a click in the sound at 1 s."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = out.add_stream("aac", rate=44_100, layout="mono")
        for number in range(75):
            planar = np.full((96, 96), 128, np.uint8)
            planar[:64, : number + 1] = 220
            out.mux(video.encode(av.VideoFrame.from_ndarray(planar, format="yuv420p")))
        samples = np.zeros((1, 3 * 44_100), np.float32)
        samples[0, 44_100:44_600] = 0.9 * np.sin(np.arange(500) * 0.4)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        for stream, last in ((audio, frame), (audio, None), (video, None)):
            out.mux(stream.encode(last))
    return path


def click_s(path: Path) -> float:
    samples = decode_audio(path, 16_000).samples
    return int(np.argmax(np.abs(samples) > 0.3)) / 16_000


def picture(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(video=0) if p.dts is not None]


@pytest.mark.parametrize("delay_s", [0.15, -0.15, 0.0])
def test_only_the_sound_moves(clip: Path, tmp_path: Path, delay_s: float) -> None:
    out = tmp_path / "moved.mp4"
    move_sound(clip, out, delay_s)
    assert click_s(out) - click_s(clip) == pytest.approx(delay_s, abs=0.002)
    before, after = picture(clip), picture(out)
    assert [data for _, data in before] == [data for _, data in after]  # not encoded again
    np.testing.assert_allclose([t for t, _ in before], [t for t, _ in after], atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "moved.mp4"]


def test_no_sound_to_move(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=Fraction(25))
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.full((96, 64), 90, np.uint8), format="yuv420p")))
        out.mux(video.encode(None))
    with pytest.raises(NoAudioStream):
        move_sound(path, tmp_path / "out.mp4", 0.1)
    assert [p.name for p in tmp_path.iterdir()] == ["mute.mp4"]


def test_containers() -> None:
    assert suffix_for("mov,mp4,m4a,3gp,3g2,mj2") == ".mp4"
    assert suffix_for("matroska,webm") == ".mkv"
