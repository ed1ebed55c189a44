"""Reads records from WebDataset shards: tars of `<clip>.npz` and frames `<clip>.0000.jpg` …, an index beside each.

Any reader of WebDataset can stream them. The index says where in the tar each clip lies, so that ours reads any clip
with one seek; that is what makes an epoch exact (see `Shards`). Whole clips, not cut windows: stretching, drawing a
window anywhere and the shifts of (17) need what lies around a window. Long files are cut into pieces first.
"""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from mudar.atomic_write import atomic_path
from mudar.spec import FeatureSpec
from training.data.ragged import Table, make_table
from training.data.records import ClipFeatures, read_arrays, write_arrays

Ints = NDArray[np.int64]
PIECE_S: Final = 32.0  # longer clips are cut: a shuffle of long clips is a poor shuffle
MIXED_SHARDS: Final = 8  # this many neighbours of an epoch's order of shards are shuffled clip by clip
SPEC_FILE: Final = "spec.json"
_CUT: Final = "~"  # between a clip's name and its piece's number


def pieces(record: ClipFeatures, fps: float, rate_hz: float, longest_s: float = PIECE_S) -> list[ClipFeatures]:
    """Cuts a clip into equal pieces of at most `longest_s`, each a clip of the same song and source."""
    count = int(np.ceil(record.duration_s / longest_s - 1e-6))
    if count <= 1:
        return [record]
    edges = np.linspace(0, record.frames, count + 1).round().astype(int)
    return [_piece(record, i, first, last, fps, rate_hz) for i, (first, last) in enumerate(itertools.pairwise(edges))]


def _piece(record: ClipFeatures, index: int, first: int, last: int, fps: float, rate_hz: float) -> ClipFeatures:
    start_s, end_s = first / fps, last / fps
    low, high = round(start_s * rate_hz), round(end_s * rate_hz) + 1

    def inside(times_s: NDArray[np.float32]) -> NDArray[np.float32]:
        return (times_s[(times_s >= start_s) & (times_s < end_s)] - np.float32(start_s)).astype(np.float32)

    return replace(
        record, clip_id=f"{record.clip_id}{_CUT}{index:03d}", duration_s=end_s - start_s,
        between=record.between[first : last - 1], audio=record.audio[low:high], envelope=record.envelope[first:last],
        onsets_s=inside(record.onsets_s), strokes_s=inside(record.strokes_s), beats_s=inside(record.beats_s),
        downbeats_s=inside(record.downbeats_s), jpegs=record.jpegs[first:last],
    )  # fmt: skip


def write_part(path: Path, records: Iterable[ClipFeatures]) -> None:
    """Writes one file's records to a small tar, complete or not at all; `ShardWriter` packs such parts."""
    with atomic_path(path) as unfinished, tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as tar:
        for record in records:
            key = record.clip_id.replace(".", "_")  # WebDataset's key ends at the first dot
            arrays = io.BytesIO()
            write_arrays(arrays, record)
            _add(tar, f"{key}.npz", arrays.getvalue())
            for t, jpeg in enumerate(record.jpegs):
                _add(tar, f"{key}.{t:04d}.jpg", jpeg)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def index_of(path: Path) -> list[dict[str, Any]]:
    """Lists what a tar holds: for each clip its names and where its files lie (offset and size in bytes)."""
    clips: list[dict[str, Any]] = []
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if member.name.endswith(".npz"):
                file = tar.extractfile(member)
                assert file is not None
                record = read_arrays(io.BytesIO(file.read()))
                clips.append({
                    "clip": record.clip_id, "song": record.song_id, "source": record.source, "style": record.style,
                    "origin": record.origin, "seconds": record.duration_s, "offset": member.offset, "size": 0,
                })  # fmt: skip
            clips[-1]["size"] = _end(member) - clips[-1]["offset"]
    return clips


def _end(member: tarfile.TarInfo) -> int:
    return member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


@dataclass(frozen=True)
class ShardSlice:
    """Says where in which shard a clip lies, in bytes."""

    shard: Path
    offset: int
    size: int


class Shards:
    """Reads clips from disk when a batch needs them. A source of batches (see `batches.Source`).

    An endless row of epochs is laid out; batch n takes the clips n B … (n + 1) B - 1 of it. In each epoch the shards
    come in an order of its own, and the clips of a few neighbouring shards are shuffled together. So every clip comes
    once in every epoch, however many processes and loaders share the batches out among them, no clip is left over when
    a batch does not divide the epoch, and a run goes on anywhere without reading what came before.
    """

    def __init__(self, folder: Path, without: frozenset[str] = frozenset(), seed: int = 0) -> None:
        """`without`: clips held out. Raises ValueError when nothing is left, or a shard is not yet indexed."""
        self.folder, self.seed = folder, seed
        self.clips: list[dict[str, Any]] = []
        self._slices: list[ShardSlice] = []
        self._by_shard: list[Ints] = []
        for index in sorted(folder.glob("shard-*.json")):
            clips = [c for c in json.loads(index.read_text()) if not {c["clip"], _source_clip(c["clip"])} & without]
            self._by_shard.append(np.arange(len(clips)) + len(self.clips))
            self._slices += [ShardSlice(index.with_suffix(".tar"), clip["offset"], clip["size"]) for clip in clips]
            self.clips += clips
        if not self.clips:
            raise ValueError(f"no shards to train on in {folder}: run `python -m training.preprocess … --shards` first")
        self.spec = FeatureSpec.from_dict(json.loads((folder / SPEC_FILE).read_text()))

    def __len__(self) -> int:
        """See `Source`."""
        return len(self.clips)

    def draw(self, rng: np.random.Generator, step: int, count: int) -> Ints:
        """See `Source`; all that is random in it is the epoch's order."""
        positions = np.arange(step * count, (step + 1) * count)
        epochs, at = positions // len(self), positions % len(self)
        return np.array([_order(self, int(epoch))[i] for epoch, i in zip(epochs, at, strict=True)])

    def open(self, clips: Ints, spec: FeatureSpec, device: torch.device) -> tuple[Table, Ints]:
        """See `Source`: a table of these clips alone. Raises ValueError for shards of other features."""
        if spec != self.spec:
            raise ValueError(f"{self.folder} holds other features than this recipe's: preprocess with its --recipe")
        unique, rows = np.unique(clips, return_inverse=True)
        return make_table([self.load(int(clip)) for clip in unique], spec.video).to(device), rows

    def load(self, clip: int) -> ClipFeatures:
        """The record of clip number `clip`, its frames still JPEG."""
        location = self._slices[clip]
        with location.shard.open("rb") as file:
            file.seek(location.offset)
            data = file.read(location.size)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            files = {m.name.partition(".")[2]: data[m.offset_data : m.offset_data + m.size] for m in tar}
        jpegs = tuple(files[name] for name in sorted(files) if name.endswith(".jpg"))
        return read_arrays(io.BytesIO(files["npz"]), jpegs)

    def order(self, epoch: int) -> Ints:
        """(C,) the clips of an epoch, in its order."""
        rng = np.random.default_rng([self.seed, 83, epoch])
        shards = rng.permutation(len(self._by_shard))
        groups = [shards[i : i + MIXED_SHARDS] for i in range(0, len(shards), MIXED_SHARDS)]
        return np.concatenate([rng.permutation(np.concatenate([self._by_shard[s] for s in group])) for group in groups])


@lru_cache(maxsize=4)
def _order(shards: Shards, epoch: int) -> Ints:
    return shards.order(epoch)


def _source_clip(clip_id: str) -> str:
    """The clip that a piece was cut from: who is held out is held out whole."""
    return clip_id.partition(_CUT)[0]
