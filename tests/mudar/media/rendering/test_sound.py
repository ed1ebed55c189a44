"""The clip's own sound under the song follows the picture's time map."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.media.audio_warp import warped
from mudar.media.render import Renderer, RenderSettings


def test_clicks_move_with_the_map(song: Path) -> None:
    """The song's clicks, at each second, played along t -> 0.5 + 1.25 t, fall at (k - 0.5) / 1.25."""
    blocks = list(warped(song, 44_100, lambda t: 0.5 + 1.25 * t, 5 * 44_100, -6.0))
    sound = np.concatenate(blocks, axis=1)
    assert sound.shape == (2, 5 * 44_100)
    loud = np.flatnonzero(np.abs(sound[0]) > 0.15)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-9999) > 4000)] / 44_100
    np.testing.assert_allclose(starts, (np.arange(1, 7) - 0.5) / 1.25, atol=1e-3)
    assert np.abs(sound).max() == pytest.approx(20_000 / 32_768 * 10 ** (-6 / 20), rel=1e-3)


def test_silence_beyond_the_end(song: Path) -> None:
    sound = np.concatenate(list(warped(song, 44_100, lambda t: 9.5 + t, 44_100, 0.0)), axis=1)
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
