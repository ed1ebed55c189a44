"""Lays many records into a few tensors, on the CPU or a GPU, so that a batch is a handful of gathers.

Clips differ in length, so their rows lie end to end and each clip knows where its own begin: no padding is stored.
Shapes: C clips; M motion; F audio features; E events of the clip that has most; K columns; B rows asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mudar.spec import VideoSpec
from training.data.records import ClipFeatures, motion_rows

HEADS: Final = ("onset", "beat", "beat13", "downbeat")  # the rows of `Table.events`
FAR_S: Final = 1e9  # stands for "no more events"
_USUAL_BPM = 120.0


@dataclass(frozen=True)
class Ragged:
    """Holds rows (N, K) of all clips, those of clip c at `first[c]` … `first[c] + count[c] - 1`."""

    values: Tensor
    first: Tensor  # (C,)
    count: Tensor  # (C,)

    @classmethod
    def of(cls, parts: Sequence[NDArray[Any]], dtype: torch.dtype = torch.float32) -> Ragged:
        """One part (n, K) for each clip, n >= 1."""
        count = torch.tensor([len(part) for part in parts])
        values = torch.empty(int(count.sum()), *parts[0].shape[1:], dtype=dtype)
        first = torch.cumsum(count, 0) - count
        for part, start in zip(parts, first.tolist(), strict=True):
            values[start : start + len(part)] = torch.from_numpy(np.ascontiguousarray(part))
        return cls(values, first, count)

    def read(self, clips: Tensor, at: Tensor) -> Tensor:
        """Rows of `clips` (B,) at fractional places (B, n), linear between, the ends repeated. (B, n, K) float32."""
        last = self.count[clips, None] - 1
        at = torch.minimum(at.clamp_min(0), last)
        low = torch.minimum(at.long(), (last - 1).clamp_min(0))
        before = self._rows(clips, low)
        return torch.lerp(before, self._rows(clips, torch.minimum(low + 1, last)), (at - low).float()[..., None])

    def inside(self, clips: Tensor, at: Tensor) -> Tensor:
        """(B, n) bool: has the clip anything at this place?"""
        return (at >= 0) & (at <= self.count[clips, None] - 1)

    def to(self, device: torch.device | str) -> Ragged:
        """The same on a device."""
        return Ragged(self.values.to(device), self.first.to(device), self.count.to(device))

    def _rows(self, clips: Tensor, rows: Tensor) -> Tensor:
        flat = (self.first[clips, None] + rows).flatten()
        return self.values.index_select(0, flat).float().view(*rows.shape, -1)


@dataclass(frozen=True)
class Table:
    """Holds everything that batches are made of. What plans are drawn from stays in numpy, beside the tensors."""

    motion: Ragged  # (·, M) as the network is fed it
    audio: Ragged  # (·, F) in half precision, as on disk
    envelope: Ragged  # (·, 1)
    events_s: Tensor  # (C, len(HEADS), E) ascending, then FAR_S
    songs: Tensor  # (C,) a number for each song
    frames: NDArray[np.int64]  # (C,)
    duration_s: NDArray[np.float64]  # (C,)
    tempo_bpm: NDArray[np.float64]  # (C,) of the beats
    clip_ids: tuple[str, ...]
    jpegs: tuple[tuple[bytes, ...], ...] = ()  # of each clip, for networks that look at frames

    def __len__(self) -> int:
        """C."""
        return len(self.clip_ids)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.events_s.device

    def to(self, device: torch.device | str) -> Table:
        """The same on a device."""
        parts: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: v.to(device) for k, v in parts.items() if isinstance(v, Ragged | Tensor)}
        return replace(self, **moved)


def make_table(records: Sequence[ClipFeatures], spec: VideoSpec) -> Table:
    """Lays these records into a table, on the CPU. Raises ValueError when there are none."""
    if not records:
        raise ValueError("no records to train on: preprocess some first")
    return Table(
        motion=Ragged.of([motion_rows(record, spec) for record in records]),
        audio=Ragged.of([record.audio for record in records], torch.float16),
        envelope=Ragged.of([record.envelope[:, None] for record in records], torch.float16),
        events_s=_events(records),
        songs=torch.tensor([song_number(record.song_id) for record in records]),
        frames=np.array([record.frames for record in records], np.int64),
        duration_s=np.array([record.duration_s for record in records], np.float64),
        tempo_bpm=np.array([_tempo_bpm(record.beats_s) for record in records], np.float64),
        clip_ids=tuple(record.clip_id for record in records),
        jpegs=tuple(record.jpegs for record in records),
    )


def song_number(song_id: str) -> int:
    """Hashes a song's id to a number that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(song_id.encode(), digest_size=7).digest(), "big")


def _events(records: Sequence[ClipFeatures]) -> Tensor:
    curves = [record.curves_s() for record in records]
    most = max((len(times) for clip in curves for times in clip.values()), default=0)
    # Two more than the most, so that every search finds a neighbour on both sides.
    out = np.full((len(records), len(HEADS), most + 2), FAR_S, np.float32)
    for i, clip in enumerate(curves):
        for h, head in enumerate(HEADS):
            out[i, h, : len(clip[head])] = np.sort(clip[head])
    return torch.from_numpy(out)


def _tempo_bpm(beats_s: NDArray[np.float32]) -> float:
    return 60.0 / float(np.median(np.diff(beats_s))) if len(beats_s) > 2 else _USUAL_BPM
