"""Writes an index to one file, and reads it: what it covers, and whether it is intact.

    magic | SHA-256 of all that follows | length of the header | header (JSON) | FAISS's indexes | numpy's .npz

It is written beside, flushed and renamed, so a file of this name is always a whole one; that it is also the right
one (library, model, sizes, change number) and undamaged is checked when it is read. The database is the truth:
whoever cannot use a snapshot rebuilds. Knows files, no database.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from dataclasses import asdict, dataclass
from os import fsync
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import faiss
import numpy as np

from mudar.index.exact import BlockPCA, ExactIndex
from mudar.index.hybrid import HybridIndex, IndexSnapshot
from mudar.index.ivf import IvfIndex
from mudar.index.rows import RowTable
from mudar.index.tuning import OperatingPoints

_FAISS: Any = faiss  # its type stubs do not know its Python callbacks
_MAGIC = b"mudar-index-5\n"
_DIGEST_BYTES = 32
_BODY = len(_MAGIC) + _DIGEST_BYTES


class SnapshotUnusable(Exception):
    """There is no snapshot, or it is torn, damaged, or another library's or model's; the text says which."""


@dataclass(frozen=True)
class SnapshotHeader:
    """What an index covers: a library, one model's vectors of one kind, all changes up to `seq`, made `at` seconds."""

    library: int
    model: str
    kind: str
    seq: int
    at: float = 0.0


def save(index: HybridIndex | IndexSnapshot, path: Path, header: SnapshotHeader) -> None:
    """Writes the index beside its searches and changes. OSError when that fails; the old file is then untouched."""
    snapshot = index.freeze() if isinstance(index, HybridIndex) else index
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with beside.open("x+b") as file:
            _write(snapshot, file, header)
            file.flush()
            file.seek(_BODY)
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(len(_MAGIC))
            file.write(digest)
            file.flush()
            fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _write(snapshot: IndexSnapshot, file: IO[bytes], header: SnapshotHeader) -> None:
    table, base = snapshot.table, snapshot.base
    dim = snapshot.exact.vectors.shape[1]
    fields: dict[str, Any] = {**asdict(header), "embed_dim": snapshot.split, "rhythm_dim": dim - snapshot.split}
    fields |= {"lists": 0} if base is None else {"lists": len(base.lists), "points": base.points.to_dict()}
    coded = json.dumps(fields).encode()
    file.write(_MAGIC + bytes(_DIGEST_BYTES) + struct.pack("<Q", len(coded)) + coded)
    columns = {"codes": table.codes, "segment_ids": table.segment_ids, "start_s": table.start_s, "alive": table.alive}
    columns |= {"names": np.frombuffer(json.dumps(table.names).encode(), np.uint8), "vectors": snapshot.exact.vectors}
    if base is not None:
        columns |= base.rotation._asdict()
        for index in (*base.lists, base.halves):
            faiss.write_index(index, _FAISS.PyCallbackIOWriter(file.write))
    np.savez(file, **columns)  # type: ignore[arg-type]


def load(path: Path, expected: SnapshotHeader, embed_dim: int, rhythm_dim: int) -> tuple[HybridIndex, SnapshotHeader]:
    """Reads the index and what it covers: `expected`, or a smaller `seq` of it. SnapshotUnusable says why not."""
    try:
        with path.open("rb") as file:
            _check_digest(file)
            return _read(file, expected, embed_dim, rhythm_dim)
    except FileNotFoundError as error:
        raise SnapshotUnusable("there is no snapshot") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError, struct.error, BadZipFile) as error:
        raise SnapshotUnusable(f"the snapshot is damaged: {error}") from error


def _check_digest(file: IO[bytes]) -> None:
    """Checks the digest before anything is read: FAISS must not be given bytes that nobody checked."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise SnapshotUnusable("this is no snapshot of this version")
    digest = file.read(_DIGEST_BYTES)
    if hashlib.file_digest(file, "sha256").digest() != digest:  # type: ignore[arg-type]
        raise SnapshotUnusable("the snapshot is torn or damaged: its SHA-256 is wrong")
    file.seek(_BODY)


def _read(
    file: IO[bytes], expected: SnapshotHeader, embed_dim: int, rhythm_dim: int
) -> tuple[HybridIndex, SnapshotHeader]:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    for name, value in {**asdict(expected), "embed_dim": embed_dim, "rhythm_dim": rhythm_dim}.items():
        if name == "seq" and header[name] > value:
            raise SnapshotUnusable(f"the snapshot covers change {header[name]}, the library has only {value}")
        if name not in ("seq", "at") and header[name] != value:
            raise SnapshotUnusable(f"the snapshot's {name} is {header[name]}, not {value}")
    count = header["lists"]
    indexes = [faiss.read_index(_FAISS.PyCallbackIOReader(file.read)) for _ in range(count + 1 if count else 0)]
    with np.load(file) as columns:
        rows = {name: columns[name] for name in columns.files}
    names = json.loads(rows["names"].tobytes())
    table = RowTable.of(names, rows["codes"], rows["segment_ids"], rows["start_s"], rows["alive"])
    exact = ExactIndex.empty(embed_dim, rhythm_dim)
    base = None
    if count:
        rotation = BlockPCA(*(rows[name] for name in BlockPCA._fields))
        base = IvfIndex(rotation, tuple(indexes[:-1]), indexes[-1], OperatingPoints.from_dict(header["points"]))
    snapshot = IndexSnapshot(embed_dim, table, exact.appended(rows["vectors"]), base)
    index = HybridIndex(embed_dim, rhythm_dim, snapshot)
    return index, SnapshotHeader(expected.library, expected.model, expected.kind, header["seq"], header["at"])
