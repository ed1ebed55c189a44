"""Rendering, measured by decoding what was written: which frames, when, with which sound."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.errors import Cancelled, MediaTooShort
from mudar.media.render.encode import track_durations_s
from mudar.media.render.render import Renderer, RenderSettings

pytestmark = pytest.mark.slow


def warp(t: np.ndarray) -> np.ndarray:
    """A map with speeds of 0.7 to 1.3 that ends at 2.5 s."""
    return 0.2 + t + 0.1 * np.sin(3 * t)


def test_nearest_shows_the_frames_the_map_asks_for(clip, song, tmp_path, luma_of, number_of) -> None:
    out = tmp_path / "out.mp4"
    done = Renderer(clip, song, RenderSettings("nearest", crf=8)).render(out, warp, offset_s=1.0, duration_s=2.2)
    numbers = [number_of(luma) for luma in luma_of(out)]
    assert len(numbers) == 66
    assert numbers == np.round(done.shown_s * 30).astype(int).tolist()
    expected = warp(np.arange(66) / 30)
    assert np.abs(np.array(numbers) / 30 - expected).max() <= 0.5 / 30 + 1e-6
    assert done.duplicate.sum() == sum(a == b for a, b in itertools.pairwise(numbers))
    assert not done.interpolated.any()


def test_blend_mixes_in_proportion(painter, song, tmp_path, luma_of, patch_of) -> None:
    clip = tmp_path / "grey.mp4"
    painter(clip, times=[Fraction(k, 30) for k in range(90)], width=320, height=180, bars=False)
    out = tmp_path / "out.mp4"
    done = Renderer(clip, song, RenderSettings("blend", crf=8)).render(out, warp, offset_s=0.0, duration_s=2.0)
    numbers = np.array([patch_of(luma) for luma in luma_of(out)])
    np.testing.assert_allclose(numbers, done.shown_s * 30, atol=0.35)  # half a grey level is a quarter frame
    assert np.abs(done.shown_s - warp(np.arange(60) / 30)).max() <= 0.09 / 30
    assert done.interpolated.mean() > 0.5
    assert not done.duplicate.any()


def test_the_song_is_cut_to_the_frames(clip, song, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    Renderer(clip, song).render(out, lambda t: t, offset_s=1.5, duration_s=2.49)
    video_s, audio_s = track_durations_s(out)
    assert video_s == pytest.approx(74 / 30, abs=1e-6)
    assert abs(video_s - audio_s) < 0.010
    sound = decode(out)
    loud = np.flatnonzero(np.abs(sound) > 0.2)
    assert loud[0] / 44_100 == pytest.approx(0.5, abs=0.003)  # the click at 2 s of the song
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-9999) > 4000)]
    np.testing.assert_allclose(starts / 44_100, [0.5, 1.5], atol=0.003)
    assert np.abs(sound[-40:]).max() < 0.01


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


def test_sound_goes_on_as_silence_where_the_song_ends(clip, song, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    Renderer(clip, song).render(out, lambda t: t, offset_s=9.0, duration_s=2.0)
    video_s, audio_s = track_durations_s(out)
    assert abs(video_s - audio_s) < 0.010
    assert np.abs(decode(out)[60_000:]).max() < 0.01


def test_what_players_need(clip, song, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    Renderer(clip, song).render(out, lambda t: t, offset_s=0.0, duration_s=1.0)
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(out)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.profile, video.codec_context.pix_fmt) == ("h264", "High", "yuv420p")
        assert (audio.codec_context.name, audio.rate) == ("aac", 44_100)
        assert video.average_rate == 30
        assert [
            p.pts * p.time_base for p in sorted(container.demux(video), key=lambda p: p.pts or 0) if p.pts is not None
        ] == [Fraction(k, 30) for k in range(30)]


def test_progress_reaches_one_and_cancelling_leaves_nothing(clip, song, tmp_path) -> None:
    shares: list[float] = []
    Renderer(clip, song).render(
        tmp_path / "a.mp4", lambda t: t, offset_s=0, duration_s=0.5, progress=lambda share, _: shares.append(share)
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    def stop(share: float, stage: str) -> None:
        if share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        Renderer(clip, song).render(tmp_path / "b.mp4", lambda t: t, offset_s=0, duration_s=2, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_less_than_a_frame_is_too_short(clip, song, tmp_path) -> None:
    with pytest.raises(MediaTooShort):
        Renderer(clip, song).render(tmp_path / "a.mp4", lambda t: t, offset_s=0, duration_s=0.01)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("interpolation", ["blend", "flow"])
def test_a_shift_shows_the_frames_as_they_are(clip, song, tmp_path, luma_of, number_of, interpolation: str) -> None:
    """A shift is no whole number of frames, and mixing every two would show no frame of the source at all."""
    out = tmp_path / "out.mp4"
    settings = RenderSettings(interpolation, crf=8)
    done = Renderer(clip, song, settings).render(out, lambda t: 0.2121 + t, offset_s=0.0, duration_s=2.0)
    assert not done.interpolated.any()
    assert [number_of(luma) for luma in luma_of(out)] == list(range(6, 66))


def test_a_stretch_of_speed_one_is_not_mixed_and_its_neighbours_are(clip, song, tmp_path) -> None:
    """Half a second at 0.8, then a second at 1, then 1.2."""

    def bent(t: np.ndarray) -> np.ndarray:
        return np.interp(t, [0.0, 0.5, 1.5, 2.0], [0.1, 0.5, 1.5, 2.1])

    done = Renderer(clip, song, RenderSettings("blend", crf=8)).render(
        tmp_path / "out.mp4", bent, offset_s=0.0, duration_s=2.0
    )
    assert not done.interpolated[16:44].any()
    np.testing.assert_allclose(np.diff(done.shown_s[16:44]), 1 / 30, atol=1e-6)
    assert done.interpolated[:14].any()
    assert done.interpolated[47:].any()
    assert (np.diff(done.shown_s) >= 0).all()
    assert np.abs(done.shown_s - bent(np.arange(60) / 30)).max() <= 0.5 / 30 + 1e-6


@pytest.mark.parametrize("crf", [0, 1, 51])
def test_every_quality_that_is_offered_renders(clip, song, tmp_path, luma_of, number_of, crf: int) -> None:
    out = tmp_path / "out.mp4"
    Renderer(clip, song, RenderSettings("nearest", crf=crf)).render(out, lambda t: t, offset_s=0.0, duration_s=1.0)
    assert [number_of(luma) for luma in luma_of(out)] == list(range(30))
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.profile == "High"
