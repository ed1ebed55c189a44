"""What must be refused, each with its own code, in this process and in the killable one alike."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mudar.errors import MediaError, ProbeFailed, ProbeTimeout
from mudar.media.decode.audio import decode_audio
from mudar.media.decode.video import iter_frames
from mudar.media.probe import probe as probe_module
from mudar.media.probe.models import ProbeLimits, require_dance, require_music
from mudar.media.probe.probe import probe, probe_in_child

Clip = Callable[..., Path]
HUGE = 20_000


def code_of(path: Path, limits: ProbeLimits | None = None) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path, limits or ProbeLimits())
    assert path.name in caught.value.detail
    return caught.value.code


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


Written = Callable[[str, bytes], Path]


def test_what_is_no_media(written: Written, tmp_path: Path) -> None:
    assert code_of(written("empty.mp4", b"")) == "empty_file"
    for name, content in {
        "text.mp4": b"These are words, not pictures.\n" * 300,
        "tiny.mp4": b"abc",
        "noise.mp4": random.Random(5).randbytes(200_000),
        "zip.mp4": b"PK\x03\x04" + random.Random(6).randbytes(5_000),
        "page.webm": b"<!DOCTYPE html><html><body>Not found</body></html>",
    }.items():
        assert code_of(written(name, content)) == "unreadable_media", name
    assert code_of(tmp_path / "absent.mp4") == "unreadable_media"
    assert code_of(tmp_path) == "unreadable_media"


def test_playlists_never_open_other_files(written: Written, clip: Clip) -> None:
    other = clip("a.ts")
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:{other}\n#EXT-X-ENDLIST\n"
    assert code_of(written("list.m3u8", hls.encode())) == "unreadable_media"
    assert code_of(written("list.mp4", f"ffconcat version 1.0\nfile {other}\n".encode())) == "unreadable_media"


def test_still_pictures(tmp_path: Path, clip: Clip) -> None:
    image = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    for suffix in ("png", "jpg", "bmp", "webp", "tiff"):
        image.save(tmp_path / f"still.{suffix}")
        assert code_of(tmp_path / f"still.{suffix}") == "unreadable_media"
    image.save(tmp_path / "still.gif")
    assert code_of(tmp_path / "still.gif") == "still_video"
    assert code_of(clip("one.mp4", times_s=[0.0], audio=None)) == "still_video"
    with_sound = probe(clip("cover.mp4", times_s=[0.0]))
    require_music(with_sound)
    with pytest.raises(MediaError, match="single frame"):
        require_dance(with_sound)


@pytest.mark.parametrize(
    ("name", "changes", "keep"),
    [
        ("no-index.mp4", {}, 0.5),  # the index comes last
        ("cut-in-index.mp4", {}, 0.98),
        ("cut-media.mp4", {"container_options": {"movflags": "faststart"}}, 0.7),
        ("barely-begun.mp4", {"container_options": {"movflags": "faststart"}}, 0.01),
        ("cut.mkv", {}, 0.7),
        ("cut.avi", {"audio": "libmp3lame"}, 0.7),
        ("cut.wav", {"video": None, "audio": "pcm_s16le"}, 0.7),
        ("cut.flac", {"video": None, "audio": "flac", "clicks_s": [i / 90 for i in range(270)]}, 0.7),
    ],
)
def test_truncated(clip: Clip, written: Written, name: str, changes: dict[str, object], keep: float) -> None:
    complete = clip(name, seconds=3.0, **changes)
    probe(complete)
    content = complete.read_bytes()
    assert code_of(written(name, content[: int(len(content) * keep)])) == "truncated_media"


def test_truncated_is_also_found_while_decoding(clip: Clip, written: Written) -> None:
    content = clip("whole.mp4", seconds=3.0, container_options={"movflags": "faststart"}).read_bytes()
    cut = written("cut.mp4", content[: int(len(content) * 0.7)])
    with pytest.raises(MediaError) as caught:
        list(iter_frames(cut, fps=10, size=(32, 32)))
    assert caught.value.code == "truncated_media"
    with pytest.raises(MediaError) as caught:
        decode_audio(cut, 8_000)
    assert caught.value.code == "truncated_media"


def test_lengths(clip: Clip) -> None:
    assert code_of(clip("short.mp4", seconds=0.2)) == "media_too_short"
    assert code_of(clip("short.wav", video=None, audio="pcm_s16le", seconds=0.2)) == "media_too_short"
    for name in ("long.mp4", "long.mkv", "long.ts"):
        assert code_of(clip(name), ProbeLimits(max_duration_s=1.5)) == "media_too_long", name
    assert (
        code_of(clip("long.mp3", video=None, audio="libmp3lame"), ProbeLimits(max_duration_s=1.5)) == "media_too_long"
    )


def test_a_stream_may_be_shorter_than_its_file(clip: Clip) -> None:
    with pytest.raises(MediaError) as caught:
        require_dance(probe(clip("glimpse.mp4", seconds=0.3, sound_seconds=2.0)))
    assert caught.value.code == "media_too_short"
    with pytest.raises(MediaError) as caught:
        require_music(probe(clip("beep.mp4", seconds=2.0, sound_seconds=0.3)))
    assert caught.value.code == "media_too_short"


def test_missing_streams(clip: Clip) -> None:
    sound, silent = probe(clip("a.m4a", video=None)), probe(clip("silent.mp4", audio=None))
    with pytest.raises(MediaError) as caught:
        require_dance(sound)
    assert caught.value.code == "no_video_stream"
    with pytest.raises(MediaError) as caught:
        require_music(silent)
    assert caught.value.code == "no_audio_stream"
    with pytest.raises(MediaError, match="no picture"):
        next(iter_frames(clip("a.m4a", video=None), fps=None, size=None))
    with pytest.raises(MediaError, match="no sound"):
        decode_audio(clip("silent.mp4", audio=None), 8_000)


def png_of(side: int) -> bytes:
    """A gray PNG that says side x side and begins with black lines."""
    data = zlib.compress(bytes(100 * (side + 1)), 1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def huge_files(clip: Clip) -> dict[str, bytes]:
    """Files whose header asks for 20000x20000 in each of the places where a header can."""
    mp4, avi = clip("a.mp4").read_bytes(), clip("a.avi", audio="pcm_s16le").read_bytes()
    mkv = clip("a.mkv").read_bytes()
    small, large = (160, 96), (HUGE, HUGE)
    cuts = {
        "stsd.mp4": (mp4, struct.pack(">HH", *small), struct.pack(">HH", *large)),
        "tkhd.mp4": (mp4, struct.pack(">II", *(x << 16 for x in small)), struct.pack(">II", *(x << 16 for x in large))),
        "avih.avi": (avi, struct.pack("<II", *small), struct.pack("<II", *large)),
        "mkv.mkv": (mkv, b"\xb0\x81\xa0\xba\x81\x60", b"\xb0\x84\x00\x00\x4e\x20\xba\x84\x00\x00\x4e\x20"),
    }
    made = {}
    for name, (content, old, new) in cuts.items():
        assert old in content
        made[name] = content.replace(old, new)
    return {**made, "zeros.png": png_of(HUGE), "raw.y4m": b"YUV4MPEG2 W20000 H20000 F30:1\nFRAME\n" + bytes(1000)}


def test_huge_pictures_are_refused_by_their_header(clip: Clip, written: Written) -> None:
    for name, content in huge_files(clip).items():
        assert code_of(written(name, content)) == "picture_too_large", name


def test_no_decoder_may_exceed_the_pixel_limit(clip: Clip) -> None:
    """Where only the coded stream tells the size (no header does), the decoder itself refuses."""
    assert code_of(clip("a.ts", video="libx264"), ProbeLimits(max_pixels=100 * 96)) in {
        "picture_too_large",
        "unreadable_media",
    }


@pytest.mark.slow
def test_the_child_says_the_same_and_stays_small(clip: Clip, written: Written) -> None:
    good = clip("a.mp4")
    assert probe_in_child(good) == probe(good)
    stsd = good.read_bytes().replace(struct.pack(">HH", 160, 96), struct.pack(">HH", HUGE, HUGE))
    for path in (written("empty.mp4", b""), written("text.mp4", b"words " * 99), written("huge.mp4", stsd)):
        with pytest.raises(MediaError) as here:
            probe(path)
        with pytest.raises(MediaError) as there:
            probe_in_child(path)
        assert (there.value.code, there.value.detail, there.value.hint) == (
            here.value.code,
            here.value.detail,
            here.value.hint,
        )
    code = (  # VmHWM and not ru_maxrss, which a child inherits from its parent
        "import sys; from mudar.media.probe.probe import main; main(sys.argv[1:])\n"
        "sys.stderr.write(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    run = subprocess.run([sys.executable, "-c", code, written("h.mp4", stsd)], capture_output=True, check=True)
    assert int(run.stderr) < 200 * 1024  # KiB; one 20000x20000 picture has 586 MiB


def test_the_child_obeys_its_limits(clip: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ProbeTimeout, match=r"took more than 0\.002 s"):
        probe_in_child(clip("a.mp4"), timeout_s=0.001)
    with pytest.raises(MediaError) as caught:
        probe_in_child(clip("a.mp4"), ProbeLimits(max_duration_s=1.0))
    assert caught.value.code == "media_too_long"
    killer = tmp_path / "killed"
    killer.write_text(f"#!{sys.executable}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    killer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killer))
    with pytest.raises(ProbeFailed, match="ended with -9"):
        probe_in_child(clip("a.mp4"))
    killer.write_text(killer.read_text().replace("SIGKILL", "SIGXCPU"))
    with pytest.raises(MediaError, match="15 s of computing") as caught:
        probe_in_child(clip("a.mp4"))
    assert caught.value.code == "unreadable_media"


def test_what_the_child_did_not_foresee_is_our_fault_and_logged(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(f"#!{sys.executable}\nraise ValueError('nobody knows')\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(ProbeFailed) as caught:
        probe_in_child(clip("a.mp4"))
    assert caught.value.code == "probe_failed"
    assert "common format" not in caught.value.hint
    assert "ValueError: nobody knows" in caplog.text


def test_the_child_has_a_memory_limit(tmp_path: Path) -> None:
    code = "from mudar.media.probe.probe import _limit_this_process as limit; limit(5.0); bytearray(4 << 30)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert run.returncode == 1
    assert run.stderr.strip().endswith("MemoryError")
    assert probe_module.CHILD_MEMORY_BYTES < 4 << 30


def test_the_child_loads_nothing_heavy() -> None:
    heavy = "('numpy', 'torch', 'librosa', 'cv2')"
    code = f"import sys, mudar.media.probe.probe; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "[]"
