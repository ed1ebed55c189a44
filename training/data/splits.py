"""Splits clips by source and song, so that nothing learnt by heart helps on what is held out.

Two clips that share a song or a source end on the same side. A source too large to give away (`by_song`) is split by
song alone, and figures on it say so: room, couple and outfits are then known from training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from training.data.records import RecordStore
from training.data.shards import Shards


class ClipIdentity(Protocol):
    """Identifies a clip for a split: a record, or an entry of a shard's index."""

    @property
    def clip_id(self) -> str:
        """Its name."""
        ...

    @property
    def song_id(self) -> str:
        """What it is danced to."""
        ...

    @property
    def source(self) -> str:
        """Who filmed it."""
        ...


@dataclass(frozen=True)
class IndexedClip:
    """Identifies a clip as a shard's index lists it."""

    clip_id: str
    song_id: str
    source: str


def components(records: Iterable[ClipIdentity], by_song: frozenset[str] = frozenset()) -> list[list[str]]:
    """Groups clip ids that share songs or sources, directly or through others; largest first, then by name."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    clips = list(records)
    for record in clips:
        parent[root(f"clip {record.clip_id}")] = root(f"song {record.song_id}")
        if record.source not in by_song:
            parent[root(f"clip {record.clip_id}")] = root(f"source {record.source}")
    groups: dict[str, list[str]] = {}
    for record in clips:
        groups.setdefault(root(f"clip {record.clip_id}"), []).append(record.clip_id)
    return sorted(groups.values(), key=lambda ids: (-len(ids), ids))


def hold_out(
    records: Sequence[ClipIdentity], share: float, seed: int = 0, by_song: frozenset[str] = frozenset()
) -> list[str]:
    """Clip ids of about `share` of each origin's clips: the large source's and the others' separately."""
    held_out: list[str] = []
    large = [r for r in records if r.source in by_song]
    for part in (large, [r for r in records if r.source not in by_song]):
        groups = components(part, by_song)
        rng, taken = np.random.default_rng(seed), 0
        for index in rng.permutation(len(groups)):
            if taken + len(groups[index]) / 2 <= share * len(part):
                held_out += groups[index]
                taken += len(groups[index])
    return sorted(held_out)


def folds(
    records: Sequence[ClipIdentity], count: int, seed: int = 0, by_song: frozenset[str] = frozenset()
) -> list[list[str]]:
    """Parts all clip ids into `count` folds of about equal size, large sources and others separately."""
    parts: list[list[str]] = [[] for _ in range(count)]
    rng = np.random.default_rng(seed)
    for share in ([r for r in records if r.source in by_song], [r for r in records if r.source not in by_song]):
        sizes = [0] * count
        groups = components(share, by_song)
        order = sorted(range(len(groups)), key=dict(enumerate(rng.permutation(len(groups)))).__getitem__)
        for index in sorted(order, key=lambda i: -len(groups[i])):
            least = int(np.argmin(sizes))
            parts[least] += groups[index]
            sizes[least] += len(groups[index])
    return [sorted(part) for part in parts]


def list_clips(folder: Path) -> Sequence[ClipIdentity]:
    """Lists the clips of a folder of records or of shards."""
    if any(folder.glob("shard-*.json")):
        return [IndexedClip(clip["clip"], clip["song"], clip["source"]) for clip in Shards(folder).clips]
    return RecordStore(folder).all()


def main() -> None:
    """Writes the held-out clip ids: `python -m training.data.splits RECORDS OUT.txt --share 0.4 --by-song SOURCE`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("records", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by-song", action="append", default=[])
    args = parser.parse_args()
    held_out = hold_out(list_clips(args.records), args.share, args.seed, frozenset(args.by_song))
    args.out.write_text("\n".join(held_out) + "\n")


if __name__ == "__main__":
    main()
