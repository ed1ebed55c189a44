"""Sound on the file's clock: clicks whose times are known, in every container and layout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from mudar.media.decode.audio import decode_audio
from mudar.media.decode.video import iter_frames

Clip = Callable[..., Path]
Find = Callable[[NDArray[np.float32], int], list[float]]
CLICKS_S = [0.25, 0.5, 1.5, 1.75]

SOUNDS: dict[str, dict[str, Any]] = {
    "a.wav": {"audio": "pcm_s16le", "layout": "mono"},
    "cd.wav": {"audio": "pcm_s16le", "rate_hz": 44_100},
    "a.flac": {"audio": "flac"},
    "a.m4a": {"audio": "aac"},
    "cd.m4a": {"audio": "aac", "rate_hz": 44_100},
    "surround.m4a": {"audio": "aac", "layout": "5.1"},
    "a.mp3": {"audio": "libmp3lame"},
    "a.ogg": {"audio": "libopus"},
    "a.mka": {"audio": "aac"},
    "a.webm": {"audio": "libopus"},
}


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
@pytest.mark.parametrize("name", SOUNDS)
def test_priming_is_not_heard(clip: Clip, find_clicks: Find, name: str, rate_hz: int) -> None:
    """AAC, MP3 and Opus encoders begin with up to 1105 samples of nothing: 25 ms if it were heard."""
    sound = decode_audio(clip(name, video=None, clicks_s=CLICKS_S, **SOUNDS[name]), rate_hz)
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert find_clicks(sound.samples, rate_hz) == pytest.approx(CLICKS_S, abs=0.0015)
    assert sound.duration_s == pytest.approx(2.0, abs=0.025)


@pytest.mark.slow
def test_loudness_does_not_depend_on_the_layout(clip: Clip) -> None:
    """The same sound in every channel gives the same waveform."""
    mono, stereo, surround = (
        decode_audio(clip(f"{layout}.wav", video=None, audio="pcm_s16le", layout=layout), 24_000).samples
        for layout in ("mono", "stereo", "5.1")
    )
    assert stereo == pytest.approx(mono, abs=2e-3)
    assert surround[: len(mono)] == pytest.approx(mono, abs=2e-3)


def test_resampling_keeps_a_tone(clip: Clip) -> None:
    """Against scipy's polyphase filter, sample for sample, where the clicks' own steps do not ring."""
    path = clip("a.wav", video=None, audio="pcm_s16le", layout="mono", clicks_s=CLICKS_S)
    full, half = decode_audio(path, 48_000).samples, decode_audio(path, 24_000).samples
    assert len(half) == len(full) // 2
    expected = resample_poly(full.astype(np.float64), 1, 2)
    assert np.abs(expected - half).mean() < 1e-3 * np.abs(expected).max()
    assert np.corrcoef(expected, half)[0, 1] > 0.999


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("plain.mp4", {}),
        ("b-frames.mp4", {"video": "libx264"}),
        ("late-sound.mp4", {"sound_starts_s": 0.5, "sound_seconds": 1.6}),
        ("late-sound.mkv", {"sound_starts_s": 0.5, "sound_seconds": 1.6}),
        ("early-sound.mkv", {"sound_starts_s": -0.3}),
        ("late-picture.mp4", {"video_starts_s": 0.4}),
        ("plain.ts", {}),
        ("late-picture.ts", {"video_starts_s": 0.4}),
        ("plain.webm", {"video": "libvpx", "audio": "libopus", "codec_options": {"deadline": "realtime"}}),
        ("pieces.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}),
    ],
)
def test_sound_and_picture_share_one_clock(clip: Clip, find_clicks: Find, name: str, changes: dict[str, Any]) -> None:
    """The frame nearest to each click is white; what was written together must be found together."""
    path = clip(name, flashes=True, **changes)
    heard_s = find_clicks(decode_audio(path, 24_000).samples, 24_000)
    flashes_s = [f.time_s for f in iter_frames(path, fps=None, size=(8, 8), pixel="gray") if f.image.mean() > 128]
    written_offset_s = changes.get("sound_starts_s", 0.0) - changes.get("video_starts_s", 0.0)
    offsets_s = np.subtract(heard_s, flashes_s)
    assert offsets_s == pytest.approx(np.full(2, written_offset_s), abs=0.004)


def test_gaps_are_silence_of_their_length(clip: Clip, find_clicks: Find) -> None:
    path = clip("gap.mkv", sound_gap_s=(1.0, 0.5), clicks_s=CLICKS_S)
    sound = decode_audio(path, 24_000)
    assert find_clicks(sound.samples, 24_000) == pytest.approx([0.25, 0.5, 2.0, 2.25], abs=0.003)
    assert sound.duration_s == pytest.approx(2.5, abs=0.03)
    assert np.abs(sound.samples[int(1.05 * 24_000) : int(1.45 * 24_000)]).max() < 1e-3


@pytest.mark.slow
def test_memory_is_that_of_the_result(clip: Clip) -> None:
    """Ten minutes at 44.1 kHz stereo are 212 MB as float32; at 16 kHz mono 38 MB, and little more may be held."""
    path = clip("ten-minutes.flac", video=None, audio="flac", rate_hz=44_100, seconds=600.0)
    code = (
        "import sys; from mudar.media.decode.audio import decode_audio\n"
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024\n"
        "early = peak(); sound = decode_audio(sys.argv[1], 16000); print(sound.duration_s, peak() - early)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True)
    duration_s, grown_mib = run.stdout.split()
    assert float(duration_s) == pytest.approx(600.0, abs=0.01)
    assert float(grown_mib) < 38.4e6 / 2**20 + 25
