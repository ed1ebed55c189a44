"""Headers are read before FFmpeg is let near a file: whatever the bytes, an answer and no surprise."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mudar.media.probe.sniff import read_header

STARTS = [
    b"",
    b"\0\0\0\x18ftypisom",
    b"RIFF\xff\xff\0\0AVI ",
    b"\x1aE\xdf\xa3",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF",
]
BOXES = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"tkhd", b"vmhd", b"stsd", b"mdat", b"moof"]


@given(start=st.sampled_from(STARTS), body=st.binary(max_size=300))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_header(tmp_path: Path, start: bytes, body: bytes) -> None:
    file = tmp_path / "any"
    file.write_bytes(start + body)
    header = read_header(file)
    assert header.width >= 0
    assert header.missing_bytes >= 0


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(BOXES)), max_size=30), st.binary(max_size=40))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_of_boxes_gives_a_header(tmp_path: Path, boxes: list[tuple[int, bytes]], tail: bytes) -> None:
    file = tmp_path / "any"
    file.write_bytes(box(b"ftyp", b"isom") + b"".join(struct.pack(">I4s", size, kind) for size, kind in boxes) + tail)
    assert read_header(file).kind == "iso"


def test_deeply_nested_boxes_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    nested = b""
    for _ in range(5000):
        nested = box(b"trak", nested)
    (tmp_path / "deep.mp4").write_bytes(box(b"ftyp", b"isom") + box(b"moov", nested))
    assert read_header(tmp_path / "deep.mp4").has_index


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def track(tkhd_size: tuple[int, int], stsd_size: tuple[int, int]) -> bytes:
    """A minimal picture track that states two sizes."""
    tkhd = box(b"tkhd", bytes(76) + struct.pack(">II", tkhd_size[0] << 16, tkhd_size[1] << 16))
    entry = struct.pack(">I4s", 86, b"avc1") + bytes(24) + struct.pack(">HH", *stsd_size) + bytes(50)
    stsd = box(b"stsd", struct.pack(">II", 0, 1) + entry)
    return box(b"trak", tkhd + box(b"mdia", box(b"minf", box(b"vmhd", bytes(12)) + box(b"stbl", stsd))))


@pytest.mark.parametrize(("tkhd", "stsd"), [((320, 180), (20000, 20000)), ((20000, 20000), (320, 180))])
def test_the_larger_of_two_stated_sizes_counts(tmp_path: Path, tkhd: tuple[int, int], stsd: tuple[int, int]) -> None:
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp", b"isom") + box(b"moov", track(tkhd, stsd)) + box(b"mdat", bytes(9)))
    header = read_header(tmp_path / "a.mp4")
    assert (header.width, header.height) == (20000, 20000)
    assert (header.has_index, header.missing_bytes) == (True, 0)


@pytest.mark.parametrize("size", [(1, struct.pack(">Q", 5000)), (5000 - 8, b"")])
def test_missing_bytes_of_a_cut_box(tmp_path: Path, size: tuple[int, bytes]) -> None:
    head = struct.pack(">I4s", size[0], b"mdat") + size[1]
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp", b"isom") + box(b"moov", b"") + head + bytes(100))
    written = 100 + len(head)
    promised = 5000 if size[1] else 5000 - 8
    assert read_header(tmp_path / "a.mp4").missing_bytes == promised - written
