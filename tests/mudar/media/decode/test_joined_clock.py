"""Recordings that were joined by their bytes: probe, decoders and renderer agree on one clock that goes on."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mudar.media.decode.audio import decode_audio
from mudar.media.decode.video import iter_frames, timed_frames
from mudar.media.probe.probe import probe
from mudar.media.render.audio import inspect_audio, song_blocks
from mudar.media.render.format import AudioFormat
from mudar.media.render.source import frames, inspect_video
from tests.mudar.media.conftest import click_times_s, write_clip

pytestmark = pytest.mark.slow

CASES = Path(__file__).resolve().parents[5] / "shared" / "cases"
RATE_HZ = 24_000
TS = {"video": "libx264", "audio": "mp2", "fps": 25, "seconds": 3.0, "flashes": True, "clicks_s": (0.6, 1.8)}
TS |= {"codec_options": {"preset": "ultrafast", "crf": "10", "bf": "2"}}
OPUS = {"video": None, "audio": "libopus", "seconds": 3.0, "clicks_s": (0.6, 1.8)}


def joined(path: Path, parts: list[Path]) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.fixture(params=[0.0, -94.0, 95.0, 7.0], ids=["same", "back", "forward", "short"])
def joined_ts(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two transport streams of 3 s, the second of which begins `param` seconds after the first one did."""
    parts = []
    for number, offset_s in enumerate((100.0, 100.0 + request.param)):
        options = {"output_ts_offset": str(offset_s)}
        parts.append(write_clip(tmp_path / f"{number}.ts", container_options=options, **TS))
    return joined(tmp_path / "joined.ts", parts)


def test_joined_transport_streams_are_as_long_as_their_parts(joined_ts: Path) -> None:
    info = probe(joined_ts)
    assert info.video is not None
    assert info.duration_s == pytest.approx(6.0, abs=0.1)
    assert (info.video.fps, info.video.is_vfr, info.video.frames) == (25, False, 150)
    shown = list(timed_frames(joined_ts))
    assert len(shown) == 150
    assert shown[-1].end_s == pytest.approx(6.0, abs=0.1)
    assert decode_audio(joined_ts, RATE_HZ).duration_s == pytest.approx(6.0, abs=0.1)
    form = inspect_video(joined_ts)
    assert form.duration_s == pytest.approx(6.0, abs=0.1)
    assert len(list(frames(joined_ts, form))) == 150
    assert inspect_audio(joined_ts).duration_s == pytest.approx(6.0, abs=0.1)


def test_sound_and_picture_stay_in_step_over_a_join(joined_ts: Path) -> None:
    clicks_s = click_times_s(decode_audio(joined_ts, RATE_HZ).samples, RATE_HZ)
    flashes_s = [f.time_s for f in iter_frames(joined_ts, fps=None, size=None, pixel="gray") if f.image.mean() > 128]
    np.testing.assert_allclose(clicks_s, [0.6, 1.8, 3.6, 4.8], atol=0.1)
    np.testing.assert_allclose(flashes_s, clicks_s, atol=0.03)


@pytest.mark.parametrize("rates_hz", [(48_000, 48_000), (48_000, 16_000)])
def test_a_chained_ogg_is_heard_to_its_end(tmp_path: Path, rates_hz: tuple[int, int]) -> None:
    links = [
        write_clip(tmp_path / f"{n}.ogg", rate_hz=rate, container_options={"serial_offset": str(n)}, **OPUS)
        for n, rate in enumerate(rates_hz)
    ]
    path = joined(tmp_path / "chained.ogg", links)
    assert probe(path).duration_s == pytest.approx(6.0, abs=0.05)
    sound = decode_audio(path, RATE_HZ)
    assert sound.duration_s == pytest.approx(6.0, abs=0.05)
    np.testing.assert_allclose(click_times_s(sound.samples, RATE_HZ), [0.6, 1.8, 3.6, 4.8], atol=0.03)
    assert inspect_audio(path).duration_s == pytest.approx(6.0, abs=0.05)
    rendered = np.concatenate(list(song_blocks(path, AudioFormat(RATE_HZ), 3.0, 3 * RATE_HZ, 0.0)), axis=1)
    np.testing.assert_allclose(click_times_s(rendered[0], RATE_HZ), [0.6, 1.8], atol=0.03)


def test_a_pause_in_one_track_is_a_pause(clip) -> None:
    """The sound jumps by 4 s while the picture goes on: that is no other clock."""
    path = clip("pause.ts", video="libx264", audio="mp2", seconds=9.0, sound_seconds=4.0, sound_gap_s=(2.0, 4.0))
    assert probe(path).duration_s == pytest.approx(9.0, abs=0.1)
    assert decode_audio(path, RATE_HZ).duration_s == pytest.approx(8.0, abs=0.1)


def test_the_shared_cases() -> None:
    if not CASES.is_dir():
        pytest.skip("the folder of cases is not beside the checkout")
    assert probe(CASES / "chained.ogg").duration_s == pytest.approx(20.0, abs=0.05)
    assert decode_audio(CASES / "chained.ogg", RATE_HZ).duration_s == pytest.approx(20.0, abs=0.05)
    for name in ("joined_same_clock", "joined_clock_back", "joined_clock_forward"):
        info = probe(CASES / f"{name}.ts")
        assert info.video is not None
        assert (info.video.fps, info.video.frames) == (25, 300)
        assert info.duration_s == pytest.approx(12.0, abs=0.03)


def ogg_crc(page: bytes) -> int:
    """CRC-32 of an Ogg page (polynomial 0x04c11db7, no reflection, from 0)."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def ogg_pages(data: bytes) -> list[int]:
    """Where each page of an Ogg begins."""
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        segments = data[at + 26]
        at += 27 + segments + sum(data[at + 27 : at + 27 + segments])
    return starts


def test_a_last_packet_that_lies_counts_like_its_neighbours(clip, tmp_path: Path) -> None:
    """The last page ends before it begins: FFmpeg states a duration of its last packet that wrapped around 2^32."""
    data = bytearray(
        clip("v.ogg", video=None, audio="vorbis", seconds=8.0, codec_options={"strict": "-2"}).read_bytes()
    )
    before, last = ogg_pages(data)[-2:]
    (end,) = struct.unpack_from("<q", data, before + 6)
    struct.pack_into("<q", data, last + 6, end - 100)
    struct.pack_into("<I", data, last + 22, 0)
    struct.pack_into("<I", data, last + 22, ogg_crc(bytes(data[last:])))
    path = tmp_path / "lies.ogg"
    path.write_bytes(data)
    assert probe(path).duration_s == pytest.approx(8.0, abs=0.05)
    assert decode_audio(path, RATE_HZ).duration_s == pytest.approx(8.0, abs=0.05)


def test_frames_that_nobody_sees_are_not_counted(clip) -> None:
    """VP8 stores alternate reference frames in packets of their own."""
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "80k", "arnr-maxframes": "7", "g": "60"}
    picture = np.random.default_rng(0).integers(0, 255, (96, 160, 3)).astype(np.uint8)
    path = clip("altref.webm", video="libvpx", audio=None, seconds=6.0, codec_options=options, picture=picture)
    video = probe(path).video
    assert video is not None
    assert video.frames == sum(1 for _ in timed_frames(path)) == 180
    assert video.fps == pytest.approx(30, abs=0.01)
