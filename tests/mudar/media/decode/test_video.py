"""Frames by time stamp: each picture says its number, so which frame stands for which moment can be read off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mudar.errors import UnreadableMedia
from mudar.media.decode.video import iter_dual, iter_frames, timed_frames

Clip = Callable[..., Path]
Read = Callable[[NDArray[np.uint8]], int]
SMALL = (32, 20)
UNEVEN_S = [0, 0.1, 0.15, 0.4, 0.433, 0.9, 1.1, 1.5, 1.52, 1.9]


def shown_at(times_s: Sequence[float], moment_s: float) -> int:
    """Independent oracle: the last frame that has begun, at a moment not within a tick of any beginning."""
    return max((i for i, t in enumerate(times_s) if t <= moment_s + 0.0006), default=0)


@pytest.mark.parametrize("fps", [8.0, 15.0, 24.0, 30.0, 70.0])
@pytest.mark.parametrize("name", ["even.mp4", "even.mkv", "uneven.mp4", "uneven.mkv", "even.ts"])
def test_sampling_takes_the_frame_shown_at_each_moment(clip: Clip, read_number: Read, name: str, fps: float) -> None:
    times_s = UNEVEN_S if "uneven" in name else [i / 30 for i in range(60)]
    path = clip(name, times_s=times_s, audio=None)
    frames = list(iter_frames(path, fps=fps, size=SMALL, pixel="gray"))
    assert [f.index for f in frames] == list(range(len(frames)))
    assert [f.time_s for f in frames] == pytest.approx([k / fps for k in range(len(frames))])
    assert [read_number(f.image) for f in frames] == [shown_at(times_s, f.time_s) for f in frames]
    end_s = max(2.0, times_s[-1]) if "uneven" not in name else times_s[-1]
    assert end_s - 1 / fps - 0.002 <= frames[-1].time_s < end_s + 0.39  # the last frame lasts as long as the one before


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_native_frames_keep_their_own_times(clip: Clip, read_number: Read, codec: str) -> None:
    path = clip("uneven.mp4", video=codec, times_s=UNEVEN_S, audio=None)
    frames = list(iter_frames(path, fps=None, size=None))
    assert [f.time_s for f in frames] == pytest.approx(UNEVEN_S, abs=1e-4)
    assert [read_number(f.image) for f in frames] == list(range(len(UNEVEN_S)))
    assert frames[0].image.shape == (96, 160, 3)
    ends_s = [t.end_s for t in timed_frames(path)]
    assert ends_s[:-1] == pytest.approx(UNEVEN_S[1:], abs=1e-4)


def test_avi_without_time_stamps_of_its_own(clip: Clip, read_number: Read) -> None:
    path = clip("b.avi", video="libx264", audio=None)
    frames = list(iter_frames(path, fps=None, size=SMALL))
    assert [read_number(f.image) for f in frames] == list(range(60))
    assert [f.time_s for f in frames] == pytest.approx([i / 30 for i in range(60)])


def test_the_first_frame_also_stands_for_what_comes_before_it(clip: Clip, read_number: Read) -> None:
    frames = list(iter_frames(clip("late.mp4", video_starts_s=0.5), fps=10, size=SMALL))
    assert [read_number(f.image) for f in frames[:7]] == [0, 0, 0, 0, 0, 0, 3]
    assert len(frames) == 25


@pytest.mark.parametrize("pixel", ["gray", "rgb24"])
@pytest.mark.parametrize("name", ["even.mp4", "uneven.mkv"])
def test_one_decode_gives_what_two_would(clip: Clip, name: str, pixel: Any) -> None:
    path = clip(name, times_s=UNEVEN_S if "uneven" in name else None)
    both = list(iter_dual(path, fps=15, size=SMALL, native_size=(16, 16), pixel=pixel))
    native = list(iter_frames(path, fps=None, size=(16, 16), pixel="gray"))
    sampled = list(iter_frames(path, fps=15, size=SMALL, pixel=pixel))
    assert [(f.index, f.time_s) for f in both] == [(f.index, f.time_s) for f in native]
    assert all(np.array_equal(a.gray_small, b.image) for a, b in zip(both, native, strict=True))
    flat = [s for f in both for s in f.sampled]
    assert [(f.index, f.time_s) for f in flat] == [(f.index, f.time_s) for f in sampled]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(flat, sampled, strict=True))


@pytest.mark.parametrize(("fps", "limit", "count"), [(120, 60.0, 60), (60, 60.0, 60), (50, 60.0, 50), (90, 30.0, 30)])
def test_fast_cameras_are_thinned(clip: Clip, read_number: Read, fps: int, limit: float, count: int) -> None:
    path = clip("fast.mp4", fps=fps, seconds=1.0, audio=None)
    frames = list(iter_dual(path, fps=10, size=SMALL, native_size=(32, 20), native_fps_max=limit))
    assert len(frames) == count
    assert [f.index for f in frames] == list(range(count))
    assert np.diff([f.time_s for f in frames]) == pytest.approx(np.full(count - 1, 1 / count), abs=1e-4)
    assert [s.index for f in frames for s in f.sampled] == list(range(10))
    assert all(read_number(f.gray_small) == round(f.time_s * fps) for f in frames)


def corners() -> NDArray[np.uint8]:
    """A picture that no turn and no mirror leaves the same."""
    image = np.full((96, 160, 3), 40, np.uint8)
    image[:48, :80] = 220
    image[:48, 80:] = 120
    return image


@pytest.mark.parametrize(("ccw", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
@pytest.mark.parametrize("pixel", ["gray", "rgb24"])
def test_turned_pictures_come_out_upright(clip: Clip, ccw: float, turns: int, pixel: Any) -> None:
    path = clip("turned.mp4", picture=corners(), rotate_ccw_deg=ccw, seconds=1.0, audio=None)
    image = next(iter_frames(path, fps=None, size=None, pixel=pixel)).image
    expected = np.rot90(corners(), turns)  # numpy turns counter-clockwise too
    expected = expected if pixel == "rgb24" else expected[..., 0]
    assert image.shape == expected.shape
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - expected).mean() < 6


def test_mirrored_display_matrix(clip: Clip, tmp_path: Path) -> None:
    """Front cameras write mirrors, which an angle alone cannot say; the matrix is patched into the track header."""
    content = clip("plain.mp4", picture=corners(), seconds=1.0, audio=None).read_bytes()
    unity = b"\0\1\0\0" + bytes(12) + b"\0\1\0\0" + bytes(12) + b"\x40\0\0\0"
    at = content.index(unity, content.index(b"tkhd"))
    mirror = b"\xff\xff\0\0" + unity[4:]
    (tmp_path / "mirror.mp4").write_bytes(content[:at] + mirror + content[at + 36 :])
    image = next(iter_frames(tmp_path / "mirror.mp4", fps=None, size=None, pixel="gray")).image
    assert np.abs(image.astype(int) - corners()[:, ::-1, 0]).mean() < 6


def test_sizes(clip: Clip) -> None:
    odd = clip("odd.mkv", video="ffv1", pix_fmt="yuv444p", size=(161, 97), audio=None, seconds=1.0)
    assert next(iter_frames(odd, fps=None, size=None)).image.shape == (97, 161, 3)
    assert next(iter_frames(odd, fps=None, size=(33, 17), pixel="gray")).image.shape == (17, 33)
    assert next(iter_frames(odd, fps=None, size=(320, 320))).image.shape == (320, 320, 3)
    wide = clip("wide.mp4", aspect=Fraction(4, 3), audio=None)
    assert next(iter_frames(wide, fps=None, size=None)).image.shape == (96, 213, 3)


def test_a_sample_may_be_sized_by_what_is_displayed(clip: Clip) -> None:
    """Upright and with square pixels: of a picture of 160 x 96 that is turned, and of one whose pixels are wide."""
    sizes = []

    def half(shown: tuple[int, int]) -> tuple[int, int]:
        sizes.append(shown)
        return shown[0] // 2, shown[1] // 2

    turned = clip("turned.mp4", picture=corners(), rotate_ccw_deg=90, seconds=1.0, audio=None)
    wide = clip("wide.mp4", aspect=Fraction(4, 3), audio=None)
    for path, size in ((turned, (48, 80)), (wide, (106, 48))):
        frames = list(iter_dual(path, fps=5, size=half, native_size=(32, 32)))
        shapes = {sample.image.shape for frame in frames for sample in frame.sampled}
        assert shapes == {(size[1], size[0])}
    assert sizes == [(96, 160), (213, 96)]  # once a file


def test_shrinking_averages_over_areas(clip: Clip) -> None:
    """A checkerboard of single pixels becomes even gray, as OpenCV's INTER_AREA says; two taps make bars of it."""
    board = np.indices((96, 160)).sum(axis=0) % 2 * 200 + 20
    picture = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    path = clip("board.mkv", video="ffv1", pix_fmt="yuv444p", picture=picture, audio=None, seconds=1.0)
    ours = next(iter_frames(path, fps=None, size=(30, 18), pixel="gray")).image
    expected = cv2.resize(board.astype(np.uint8), (30, 18), interpolation=cv2.INTER_AREA)
    assert np.abs(ours.astype(int) - expected).max() <= 12
    full = next(iter_frames(path, fps=None, size=None, pixel="gray")).image
    assert np.abs(full.astype(int) - board).max() <= 3  # full range, whatever range the file is in


def test_a_few_damaged_packets_are_tolerated_and_many_are_not(clip: Clip, tmp_path: Path) -> None:
    path = clip("whole.mp4", video="libx264", seconds=4.0, audio=None)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    rng = np.random.default_rng(1)

    def damaged(which: Sequence[int]) -> Path:
        content = bytearray(path.read_bytes())
        for i in which:
            position, size = packets[i]
            content[position : position + size] = rng.bytes(size)
        (tmp_path / "damaged.mp4").write_bytes(content)
        return tmp_path / "damaged.mp4"

    frames = list(iter_frames(damaged([40, 41, 90]), fps=15, size=SMALL))
    assert [f.index for f in frames] == list(range(60))
    with pytest.raises(UnreadableMedia, match="damaged"):
        list(iter_frames(damaged(range(10, 110)), fps=15, size=SMALL))


@pytest.mark.slow
def test_memory_does_not_grow_with_length(clip: Clip) -> None:
    """600 frames of 640x360 are 415 MB as RGB; a reader that holds them, or a queue of them, is seen."""
    path = clip("long.mp4", size=(640, 360), seconds=20.0, audio=None)
    code = (
        "import sys; from mudar.media.decode.video import iter_dual\n"
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024\n"
        "frames = iter_dual(sys.argv[1], fps=15, size=(640, 360), native_size=(64, 64), pixel='rgb24')\n"
        "for _ in range(60): next(frames)\n"
        "early = peak(); n = sum(len(f.sampled) for f in frames); print(n, peak() - early)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True)
    samples, grown_mib = run.stdout.split()
    assert int(samples) == 270
    assert float(grown_mib) < 15


def test_stopping_early_closes_the_file(clip: Clip) -> None:
    frames = iter_frames(clip("plain.mp4"), fps=10, size=SMALL)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert not [f for f in Path("/proc/self/fd").iterdir() if f.exists() and f.resolve().name == "plain.mp4"]
