"""An index on disk: one file that says what it is, what it covers, and whether it is whole.

    magic | length of the header | header (JSON) | item ids (JSON) | codes | segment ids | seconds | vectors | CRC-32

It is written beside, flushed and renamed, so a file of this name is always a whole one; that it is also the right
one (library, model, sizes, sequence number) and undamaged is checked when it is read. The database is the truth:
whoever cannot use a snapshot rebuilds. Knows files, no database.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mudar.retrieve import Frozen, HybridIndex

_MAGIC = b"mudar-index-1\n"
_BLOCK_ROWS = 16_384


class SnapshotUnusable(Exception):
    """There is no snapshot, or it is torn, damaged, or another library's or model's; the text says which."""


@dataclass(frozen=True)
class Stamp:
    """What an index covers: a library, one model's vectors of one kind, all changes up to `seq`, made `at` seconds."""

    library: int
    model: str
    kind: str
    seq: int
    at: float = 0.0


def save(index: HybridIndex | Frozen, path: Path, stamp: Stamp) -> None:
    """Write the index beside its searches and additions.

    OSError when that fails, Moved when a frozen index lost rows; the file of before is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with beside.open("xb") as file:
            _write(index if isinstance(index, Frozen) else index.freeze(copy=True), file, stamp)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _write(frozen: Frozen, file: IO[bytes], stamp: Stamp) -> None:
    checksum = 0

    def put(data: bytes | memoryview) -> None:
        nonlocal checksum
        checksum = zlib.crc32(data, checksum)
        file.write(data)

    index, names = frozen.index, json.dumps(frozen.names).encode()
    sizes = {"embed_dim": index.embed_dim, "rhythm_dim": index.rhythm_dim, "rows": len(frozen.codes)}
    header = json.dumps({**asdict(stamp), **sizes, "names_bytes": len(names)}).encode()
    put(_MAGIC + struct.pack("<Q", len(header)))
    put(header)
    put(names)
    for column in (frozen.codes, frozen.segment_ids, frozen.start_s):
        put(column.tobytes())
    for block in frozen.blocks():
        put(block.tobytes())
    file.write(struct.pack("<I", checksum))


class _Reader:
    """Reads exactly so many bytes, and keeps the checksum of what it read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.checksum = file, 0

    def bytes(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise SnapshotUnusable("the snapshot is torn")
        self.checksum = zlib.crc32(data, self.checksum)
        return data

    def array(self, count: int, kind: str) -> NDArray[Any]:
        return np.frombuffer(self.bytes(count * np.dtype(kind).itemsize), kind)


def load(path: Path, wanted: Stamp, embed_dim: int, rhythm_dim: int) -> tuple[HybridIndex, Stamp]:
    """The index and what it covers: `wanted`, or a smaller `seq` of it. SnapshotUnusable says why not."""
    try:
        with path.open("rb") as file:
            return _read(_Reader(file), file, wanted, embed_dim, rhythm_dim)
    except FileNotFoundError as error:
        raise SnapshotUnusable("there is no snapshot") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise SnapshotUnusable(f"the snapshot is damaged: {error}") from error


def _read(
    reader: _Reader, file: IO[bytes], wanted: Stamp, embed_dim: int, rhythm_dim: int
) -> tuple[HybridIndex, Stamp]:
    header = _header(reader)
    for name, value in {**asdict(wanted), "embed_dim": embed_dim, "rhythm_dim": rhythm_dim}.items():
        if name == "seq" and header[name] > value:
            raise SnapshotUnusable(f"the snapshot covers change {header[name]}, the library has only {value}")
        if name not in ("seq", "at") and header[name] != value:
            raise SnapshotUnusable(f"the snapshot's {name} is {header[name]}, not {value}")
    rows, index = int(header["rows"]), HybridIndex(embed_dim, rhythm_dim)
    rest = int(header["names_bytes"]) + rows * (4 + 8 + 4 + 4 * (embed_dim + rhythm_dim)) + 4
    if os.fstat(file.fileno()).st_size - file.tell() != rest:
        raise SnapshotUnusable("the snapshot is torn")
    names = json.loads(reader.bytes(int(header["names_bytes"])))
    codes, segment_ids, start_s = reader.array(rows, "<i4"), reader.array(rows, "<i8"), reader.array(rows, "<f4")
    for start in range(0, rows, _BLOCK_ROWS):
        part = slice(start, min(start + _BLOCK_ROWS, rows))
        block = reader.array((part.stop - start) * (embed_dim + rhythm_dim), "<f4").reshape(part.stop - start, -1)
        item_ids = [names[code] for code in codes[part]]
        index.add(segment_ids[part], item_ids, block[:, :embed_dim], block[:, embed_dim:], start_s[part])
    if file.read() != struct.pack("<I", reader.checksum):
        raise SnapshotUnusable("the snapshot's checksum is wrong")
    return index, Stamp(wanted.library, wanted.model, wanted.kind, int(header["seq"]), float(header["at"]))


def _header(reader: _Reader) -> dict[str, Any]:
    if reader.bytes(len(_MAGIC)) != _MAGIC:
        raise SnapshotUnusable("this is no snapshot of this version")
    (length,) = struct.unpack("<Q", reader.bytes(8))
    if length > 1 << 20:
        raise SnapshotUnusable("the snapshot is damaged: its header is too long")
    header: dict[str, Any] = json.loads(reader.bytes(length))
    return header
