"""An index on disk: one file that says what it is, what it covers, and whether it is whole.

    magic | length of the header | header (JSON) | item ids (JSON) | codes | segment ids | seconds | vectors | CRC-32

An approximate index has, in place of the vectors, its axes, its lists (FAISS's bytes) and its turned vectors, float16.

It is written beside, flushed and renamed, so a file of this name is always a whole one; that it is also the right
one (library, model, sizes, sequence number) and undamaged is checked when it is read. The database is the truth:
whoever cannot use a snapshot rebuilds. Knows files, no database.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.atomic_write import atomic_path
from mudar.index.hybrid import Frozen, HybridIndex
from mudar.index.ivf import IvfRows
from mudar.index.partition import Partition
from mudar.index.rows import Columns
from mudar.index.tuning import Probes
from mudar.index.turned import Turn

_MAGIC = b"mudar-index-4\n"
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
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        _write(index if isinstance(index, Frozen) else index.freeze(copy=True), file, stamp)


def _write(frozen: Frozen, file: IO[bytes], stamp: Stamp) -> None:
    checksum = 0

    def put(data: bytes | memoryview) -> None:
        nonlocal checksum
        checksum = zlib.crc32(data, checksum)
        file.write(data)

    index, names = frozen.index, json.dumps(frozen.names).encode()
    sizes = {"embed_dim": index.embed_dim, "rhythm_dim": index.rhythm_dim, "rows": len(frozen.codes)}
    layout: dict[str, Any] = {"lists": 0}
    if frozen.in_lists is not None:
        rows, coded, probes = frozen.in_lists
        axes = [part.shape[1] for part in (rows.turn.embedding, rows.turn.rhythm)]
        layout = {"lists": rows.lists, "axes": axes, "coded_bytes": [len(part) for part in coded]}
        layout |= {"probes": probes.to_dict(), "lost": rows.lost}
    header = json.dumps({**asdict(stamp), **sizes, **layout, "names_bytes": len(names)}).encode()
    put(_MAGIC + struct.pack("<Q", len(header)))
    put(header)
    put(names)
    for column in (frozen.codes, frozen.segment_ids, frozen.start_s):
        put(column.tobytes())
    blocks: Iterator[NDArray[Any]]
    if frozen.in_lists is None:
        blocks = frozen.blocks()
    else:
        parts: list[NDArray[Any]] = [*rows.turn, *coded]
        for part in parts:
            put(part.tobytes())
        blocks = frozen.halves()
    for block in blocks:
        put(block.tobytes())
    file.write(struct.pack("<I", checksum))


class _Reader:
    """Reads exactly so many bytes, and keeps the checksum of what it read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.checksum, self._finished = file, 0, False

    def bytes(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise SnapshotUnusable("the snapshot is torn")
        self.checksum = zlib.crc32(data, self.checksum)
        return data

    def finish(self) -> None:
        """Check the checksum, which must be all that is left; doing so twice does no harm."""
        if not self._finished and self._file.read() != struct.pack("<I", self.checksum):
            raise SnapshotUnusable("the snapshot's checksum is wrong")
        self._finished = True

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
    rows, dim = int(header["rows"]), embed_dim + rhythm_dim
    whole = int(header["names_bytes"]) + rows * (4 + 8 + 4) + 4
    if header["lists"]:
        parts = zip(header["axes"], (embed_dim, rhythm_dim), strict=True)
        whole += 4 * sum(count * dims for count, dims in parts) + 4 * embed_dim + sum(header["coded_bytes"])
        whole += rows * 2 * (sum(header["axes"]) + 1)
    else:
        whole += rows * 4 * dim
    if os.fstat(file.fileno()).st_size - file.tell() != whole:
        raise SnapshotUnusable("the snapshot is torn")
    names = json.loads(reader.bytes(int(header["names_bytes"])))
    columns = tuple(reader.array(rows, kind).copy() for kind in ("<i4", "<i8", "<f4"))
    index = HybridIndex(embed_dim, rhythm_dim)
    (_read_lists if header["lists"] else _read_flat)(reader, index, names, columns, header)
    reader.finish()
    return index, Stamp(wanted.library, wanted.model, wanted.kind, int(header["seq"]), float(header["at"]))


def _read_flat(
    reader: _Reader, index: HybridIndex, names: list[str], columns: tuple[NDArray[Any], ...], header: dict[str, Any]
) -> None:
    codes, segment_ids, start_s = columns
    split, dim = index.embed_dim, index.embed_dim + index.rhythm_dim
    index.reserve(len(codes))
    for start in range(0, len(codes), _BLOCK_ROWS):
        part = slice(start, min(start + _BLOCK_ROWS, len(codes)))
        block = reader.array((part.stop - start) * dim, "<f4").reshape(-1, dim)
        item_ids = [names[code] for code in codes[part].tolist()]
        index.add(segment_ids[part], item_ids, block[:, :split], block[:, split:], start_s[part])


def _read_lists(
    reader: _Reader, index: HybridIndex, names: list[str], columns: tuple[NDArray[Any], ...], header: dict[str, Any]
) -> None:
    dims, count = (index.embed_dim, index.rhythm_dim), len(columns[0])
    parts = [reader.array(d * n, "<f4").reshape(d, n) for d, n in zip(dims, header["axes"], strict=True)]
    turn = Turn(parts[0], parts[1], reader.array(index.embed_dim, "<f4"))
    coded = [reader.array(int(size), "u1") for size in header["coded_bytes"]]
    halves = reader.array(count * turn.size, "<f2").reshape(count, -1)
    reader.finish()  # FAISS must not be given bytes that nobody checked
    rows = IvfRows(turn, [Partition(faiss.deserialize_index(part), turn) for part in coded])
    rows.keep(halves)
    rows.lost = float(header["lost"])
    index.rows, index.columns = rows, Columns.restored(names, *columns)
    index.probes = Probes.from_dict(header["probes"])


def _header(reader: _Reader) -> dict[str, Any]:
    if reader.bytes(len(_MAGIC)) != _MAGIC:
        raise SnapshotUnusable("this is no snapshot of this version")
    (length,) = struct.unpack("<Q", reader.bytes(8))
    if length > 1 << 20:
        raise SnapshotUnusable("the snapshot is damaged: its header is too long")
    header: dict[str, Any] = json.loads(reader.bytes(length))
    return header
