"""Reads a file's kind, its largest picture and its stated size from its structure, without FFmpeg.

A header may ask for 20000x20000 pixels or point past the end of the file; this is where that is noticed before any
decoder allocates a picture. Knows boxes and chunks (ISO BMFF, Matroska, RIFF, a few still pictures), no codecs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PICTURES = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\x01\0": "ICO",
}
ISO_PICTURES = {b"avif": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}
ISO_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot", b"sidx"}
ISO_CONTAINER_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
MKV_MASTER_ELEMENTS = {0x18538067, 0x1654AE6B, 0xAE, 0xE0}  # Segment, Tracks, TrackEntry, Video
MKV_LIMIT = 10_000  # elements read; Tracks come long before
BOX_LIMIT = 500_000  # boxes side by side; an hour in fragments of 50 ms has a third of that


@dataclass
class Header:
    """Holds what a file's structure states: `kind` is "" when unknown, sizes are 0 when not stated.

    missing_bytes: how far the file's own structure reaches past its end. has_index: False for an mp4 without moov.
    still: name of a still-picture format, "" for anything else.
    """

    kind: str = ""
    width: int = 0
    height: int = 0
    missing_bytes: int = 0
    has_index: bool = True
    still: str = ""

    def add_picture(self, width: int, height: int) -> None:
        """Records a stated picture size if it is the largest so far."""
        if width * height > self.width * self.height:
            self.width, self.height = width, height


def read_header(path: str | Path) -> Header:
    """Reads the structure of `path`, never the media themselves; OSError if it cannot be opened."""
    size_bytes = Path(path).stat().st_size
    with open(path, "rb") as file:
        start = file.read(32)
        header = Header()
        if start[4:8] in ISO_FIRST:
            header.kind = "iso"
            header.still = ISO_PICTURES.get(start[8:12], "")
            _read_iso(file, size_bytes, header)
        elif start[:4] == b"\x1aE\xdf\xa3":
            header.kind = "matroska"
            _read_matroska(file, size_bytes, header)
        elif start[:4] == b"RIFF":
            _read_riff(file, start, size_bytes, header)
        else:
            _read_picture(start, header)
    return header


def _read_picture(start: bytes, header: Header) -> None:
    """Recognizes still pictures by their magic bytes; also GIF and raw video, which move but may ask for any size."""
    if start[:4] == b"GIF8":
        header.kind = "gif"
        header.add_picture(*struct.unpack("<HH", start[6:10].ljust(4, b"\0")))
        return
    for magic, name in PICTURES.items():
        if start.startswith(magic):
            header.kind = header.still = name
    if start.startswith(b"YUV4MPEG2 ") and (match := re.match(rb"YUV4MPEG2 W(\d{1,9}) H(\d{1,9}) ", start)):
        header.add_picture(int(match[1]), int(match[2]))
    if header.kind == "PNG" and len(start) >= 24:
        header.add_picture(*struct.unpack(">II", start[16:24]))


def _read_riff(file: BinaryIO, start: bytes, size_bytes: int, header: Header) -> None:
    """Reads AVI and WAV. Sizes of 0 and 2^32-1 are what streaming writers leave behind: no promise."""
    promised, form = struct.unpack("<I4s", start[4:12].ljust(8, b"\0"))
    header.kind = {b"AVI ": "avi", b"WAVE": "wav", b"WEBP": "webp"}.get(form, "")
    if header.kind == "webp":
        header.still = "WebP"
    elif header.kind and 0 < promised < 0xFFFFFFF0:
        header.missing_bytes = max(0, promised + 8 - size_bytes)
    if header.kind == "avi":
        file.seek(64)  # dwWidth and dwHeight of the avih chunk, at a fixed place
        header.add_picture(*struct.unpack("<II", file.read(8).ljust(8, b"\0")))


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields (kind, body start, box end) of each box in start..end; the last box end may lie past `end`."""
    for _ in range(BOX_LIMIT):
        if start + 8 > end:
            return
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = start + 8
        if size == 1:  # a 64-bit size follows
            size = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
            body += 8
        elif size == 0:  # to the end of the file
            size = end - start
        if size < 8:
            return
        yield kind, body, start + size
        start += size


def _read_iso(file: BinaryIO, size_bytes: int, header: Header) -> None:
    header.has_index = False
    for kind, body, box_end in _boxes(file, 0, size_bytes):
        if kind in (b"moov", b"moof") and box_end <= size_bytes:
            header.has_index = True
        if kind in (b"ftyp", b"moov", b"moof", b"mdat"):
            header.missing_bytes = max(header.missing_bytes, box_end - size_bytes)
        if kind == b"moov":
            _read_iso_container_box(file, body, min(box_end, size_bytes), header)


def _read_iso_container_box(
    file: BinaryIO, start: int, end: int, header: Header, is_video: bool = False, depth: int = 0
) -> None:
    """Reads track sizes: tkhd states one, the sample description of a picture track another; the larger counts."""
    for kind, body, box_end in _boxes(file, start, end):
        if kind in ISO_CONTAINER_BOXES and depth < len(ISO_CONTAINER_BOXES):
            _read_iso_container_box(file, body, min(box_end, end), header, is_video, depth + 1)
        elif kind == b"tkhd" and box_end <= end:
            file.seek(box_end - 8)  # width and height close the box, as 16.16
            width, height = struct.unpack(">II", file.read(8))
            header.add_picture(width >> 16, height >> 16)
        elif kind == b"vmhd":  # video media header, beside the folder that the sample description is in
            is_video = True
        elif kind == b"stsd" and is_video:
            file.seek(body + 8 + 32)  # first sample entry: 8 head, 8 reference, 16 reserved, then the size
            header.add_picture(*struct.unpack(">HH", file.read(4).ljust(4, b"\0")))


def _vint(file: BinaryIO, keep_marker: bool) -> int | None:
    """Reads an EBML number: an id keeps its length marker, a size drops it. None at the end; -1 for "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = first[0] if keep_marker else first[0] & ((1 << (8 - length)) - 1)
    unknown = value == (1 << (8 - length)) - 1
    for byte in file.read(length - 1).ljust(length - 1, b"\0"):
        value = value << 8 | byte
        unknown = unknown and byte == 0xFF
    return -1 if unknown and not keep_marker else value


def _read_matroska(file: BinaryIO, size_bytes: int, header: Header) -> None:
    """Reads the Segment's stated size and the tracks' PixelWidth (B0) and PixelHeight (BA)."""
    file.seek(0)
    width = 0
    for _ in range(MKV_LIMIT):
        element, size = _vint(file, True), _vint(file, False)
        if element is None or size is None or element == 0x1F43B675:  # a Cluster: the media begin
            return
        body = file.tell()
        if element == 0x18538067 and size >= 0:
            header.missing_bytes = max(0, body + size - size_bytes)
        if element in (0xB0, 0xBA) and 0 <= size <= 8:
            value = int.from_bytes(file.read(size), "big")
            width = value if element == 0xB0 else width
            if element == 0xBA:
                header.add_picture(width, value)
        elif element not in MKV_MASTER_ELEMENTS:
            if size < 0 or body + size > size_bytes:
                return
            file.seek(body + size)
