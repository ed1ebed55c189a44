"""The clip's own sound under the song follows the picture's time map."""

from __future__ import annotations

import itertools
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.media.render.audio import CEILING, limit_peaks
from mudar.media.render.encode import track_durations_s
from mudar.media.render.format import AudioFormat
from mudar.media.render.render import Renderer, RenderSettings
from mudar.media.render.varispeed import varispeed

pytestmark = pytest.mark.slow


def test_clicks_move_with_the_map(song: Path) -> None:
    """The song's clicks, at each second, played along t -> 0.5 + 1.25 t, fall at (k - 0.5) / 1.25."""
    blocks = list(varispeed(song, AudioFormat(44_100), lambda t: 0.5 + 1.25 * t, 5 * 44_100, -6.0))
    sound = np.concatenate(blocks, axis=1)
    assert sound.shape == (2, 5 * 44_100)
    loud = np.flatnonzero(np.abs(sound[0]) > 0.15)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-9999) > 4000)] / 44_100
    np.testing.assert_allclose(starts, (np.arange(1, 7) - 0.5) / 1.25, atol=1e-3)
    assert np.abs(sound).max() == pytest.approx(20_000 / 32_768 * 10 ** (-6 / 20), rel=1e-3)


def test_silence_beyond_the_end(song: Path) -> None:
    sound = np.concatenate(list(varispeed(song, AudioFormat(44_100), lambda t: 9.5 + t, 44_100, 0.0)), axis=1)
    assert sound.shape == (2, 44_100)
    assert np.abs(sound).max() == 0


def test_a_mix_holds_both_and_a_mute_clip_only_the_song(painter, clip, song, tmp_path) -> None:
    ticking = tmp_path / "ticking.mkv"
    with av.open(str(clip)) as source, wave.open(str(song)) as sound, av.open(str(ticking), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        audio = out.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        samples = np.frombuffer(sound.readframes(3 * 44_100), np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    for dance, expected in ((ticking, [0.5, 0.75, 1.5, 1.75]), (clip, [0.5, 1.5])):
        done = tmp_path / "out.mp4"
        settings = RenderSettings("nearest", original_gain_db=0.0)
        Renderer(dance, song, settings).render(done, lambda t: t + 0.25, offset_s=2.5, duration_s=2.0)
        with av.open(str(done)) as container:
            heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        loud = np.flatnonzero(np.abs(heard) > 0.25)
        starts = loud[np.flatnonzero(np.diff(loud, prepend=-9999) > 4000)] / 44_100
        np.testing.assert_allclose(starts, expected, atol=0.004)


def write_tone(path: Path, codec: str, layout: str, rate_hz: int, seconds: float, amplitude: float) -> Path:
    """Another note in each channel, from the first sample on; none where bass would be."""
    channels = av.AudioLayout(layout).nb_channels
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = np.stack([amplitude * np.sin(2 * np.pi * (220 + 90 * c) * t) for c in range(channels)]).astype(np.float32)
    if layout == "5.1":
        samples[3] = 0
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate_hz, layout=layout)
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate_hz)
        for at in range(0, len(t), 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 1024]), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, at, Fraction(1, rate_hz)
            for piece in resampler.resample(frame):
                out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def heard(path: Path) -> np.ndarray:
    """(channels, samples) of a file, as floats."""
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        plain = av.AudioResampler(format="fltp", layout=sound.layout.name, rate=sound.rate)
        pieces = [piece.to_ndarray() for frame in container.decode(sound) for piece in plain.resample(frame)]
    return np.concatenate(pieces, axis=1)


def decibels(samples: np.ndarray) -> float:
    """Of the power of all channels together, as loudness meters add them."""
    return float(10 * np.log10((samples.astype(float) ** 2).mean(axis=1).sum()))


@pytest.mark.parametrize(
    ("name", "codec", "layout", "rate_hz", "out_hz"),
    [
        ("mono.flac", "flac", "mono", 44_100, 44_100),
        ("stereo.wav", "pcm_s16le", "stereo", 48_000, 48_000),
        ("fine.flac", "flac", "stereo", 96_000, 48_000),
        ("old.wav", "pcm_s16le", "mono", 22_050, 48_000),
        ("lossy.mp3", "libmp3lame", "stereo", 44_100, 44_100),
        ("web.opus", "libopus", "stereo", 48_000, 48_000),
    ],
)
def test_the_song_keeps_its_loudness(clip, tmp_path, name, codec, layout, rate_hz, out_hz) -> None:
    song = write_tone(tmp_path / name, codec, layout, rate_hz, 3.0, 0.4)
    out = tmp_path / "out.mp4"
    Renderer(clip, song, RenderSettings("nearest", fade_s=0.05)).render(out, lambda t: t, offset_s=0.5, duration_s=2)
    video_s, audio_s = track_durations_s(out)
    assert abs(video_s - audio_s) <= 0.010
    with av.open(str(out)) as container:
        assert container.streams.audio[0].rate == out_hz
        assert container.streams.audio[0].layout.name == layout
    inner = heard(out)[:, out_hz // 5 : -out_hz // 5]
    assert decibels(inner) == pytest.approx(decibels(heard(song)), abs=0.3)


def test_five_channels_come_out_on_two_at_their_loudness(clip, tmp_path) -> None:
    song = write_tone(tmp_path / "film.flac", "flac", "5.1", 48_000, 3.0, 0.2)
    out = tmp_path / "out.mp4"
    Renderer(clip, song, RenderSettings("nearest")).render(out, lambda t: t, offset_s=0.0, duration_s=2)
    inner = heard(out)[:, 10_000:-20_000]
    front, folded = 2.0, 1.0 + 0.5 * 2  # centre to both sides, each surround to one, at 3 dB less (ITU-R BS.775)
    assert decibels(inner) == pytest.approx(10 * np.log10((front + folded) * 0.2**2 / 2), abs=0.3)


def test_a_song_shorter_than_the_dance_ends_in_silence_of_the_right_length(clip, tmp_path) -> None:
    song = write_tone(tmp_path / "short.flac", "flac", "stereo", 44_100, 1.2, 0.3)
    out = tmp_path / "out.mp4"
    Renderer(clip, song, RenderSettings("nearest")).render(out, lambda t: t, offset_s=0.0, duration_s=2.5)
    video_s, audio_s = track_durations_s(out)
    assert abs(video_s - audio_s) <= 0.010
    sound = heard(out)
    assert np.abs(sound[:, round(1.3 * 44_100) :]).max() < 0.01
    assert np.abs(sound[:, 44_100 : round(1.15 * 44_100)]).max() > 0.25


def test_a_loud_mix_does_not_clip_and_keeps_its_song(clip, tmp_path) -> None:
    song = write_tone(tmp_path / "loud.flac", "flac", "stereo", 44_100, 3.0, 0.9)
    ticking = tmp_path / "own.mkv"
    with av.open(str(clip)) as source, av.open(str(song)) as own, av.open(str(ticking), "w") as out:
        tracks = {0: (source, source.streams.video[0]), 1: (own, own.streams.audio[0])}
        into = {k: out.add_stream_from_template(stream) for k, (_, stream) in tracks.items()}
        for k, (container, stream) in tracks.items():
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = into[k]
                    out.mux(packet)
    done = tmp_path / "out.mp4"
    settings = RenderSettings("nearest", original_gain_db=0.0, fade_s=0.05)
    Renderer(ticking, song, settings).render(done, lambda t: 0.3 + t, offset_s=0.0, duration_s=2)
    sound = heard(done)[:, 4_410:-8_820]
    assert (np.abs(sound) >= 1.0).mean() < 1e-3
    alone = 10 * np.log10(2 * 0.9**2 / 2)
    assert decibels(sound) > alone - 0.5  # both together are as loud as the song was, at least


def test_the_limiter_leaves_alone_what_fits_and_holds_what_does_not() -> None:
    rng = np.random.default_rng(0)
    quiet = [0.9 * rng.uniform(-1, 1, (2, 1024)).astype(np.float32) for _ in range(4)]
    for before, after in zip(quiet, limit_peaks(iter(quiet)), strict=True):
        assert before is after
    loud = [block * (3.0 if k == 5 else 1.0) for k, block in enumerate(quiet * 8)]
    limited = list(limit_peaks(iter(loud)))
    assert max(float(np.abs(block).max()) for block in limited) <= CEILING + 1e-6
    np.testing.assert_array_equal(limited[3], loud[3])  # a block ahead it begins to fall, not two
    assert np.abs(limited[4]).max() < np.abs(loud[4]).max()
    np.testing.assert_array_equal(limited[-1], loud[-1])  # long after, all is as before
    gains = [after / before for after, before in zip(limited, loud, strict=True)]
    steps = [abs(float(a[0, -1]) - float(b[0, 0])) for a, b in itertools.pairwise(gains)]
    assert max(steps) < 0.01  # the gain never leaps


def test_the_limiter_passes_on_the_shortest_sounds() -> None:
    assert not list(limit_peaks(iter([])))
    (only,) = limit_peaks(iter([np.full((1, 3), 2.0, np.float32)]))
    assert np.abs(only).max() <= CEILING + 1e-6
