"""Packs parts into shards, so that a kill at any moment loses nothing and doubles nothing.

A part is one file's records, made by some process; a shard is many parts. Order of things: the shard appears whole,
then its index, then its parts go. Whatever of that was left undone is done when the folder is opened again.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mudar.atomic_write import write_atomically
from mudar.spec import FeatureSpec
from training.data.shards import SPEC_FILE, index_of

MOST_BYTES = 256 << 20  # of a shard: seconds to copy, and enough shards for many readers


@dataclass
class ShardWriter:
    """Adds parts to a folder of shards. `done`: the files (by clip name) that are in it, packed or as parts."""

    folder: Path
    spec: FeatureSpec
    most_bytes: int = MOST_BYTES
    done: set[str] = field(default_factory=set)
    _waiting: list[Path] = field(default_factory=list)
    _bytes: int = 0

    def __post_init__(self) -> None:
        """Open the folder, finishing what was left undone. Raises ValueError when it holds other features."""
        self.parts.mkdir(parents=True, exist_ok=True)
        self._agree_on_spec()
        for shard in sorted(self.folder.glob("shard-*.tar")):
            index = shard.with_suffix(".json")
            if not index.exists():
                _write_index(index, index_of(shard))
            self.done |= {name_of(clip["clip"]) for clip in json.loads(index.read_text())}
        for part in sorted(self.parts.glob("*.tar")):
            if part.stem in self.done:
                part.unlink()
            else:
                self.add(part)

    @property
    def parts(self) -> Path:
        """Where makers leave their parts: `parts/<clip name>.tar`."""
        return self.folder / "parts"

    def add(self, part: Path) -> None:
        """One more part; when they are enough for a shard, pack it."""
        self.done.add(part.stem)
        self._waiting.append(part)
        self._bytes += part.stat().st_size
        if self._bytes >= self.most_bytes:
            self.pack()

    def pack(self) -> None:
        """All waiting parts to one shard."""
        if not self._waiting:
            return
        number = 1 + max((int(p.stem.split("-")[1]) for p in self.folder.glob("shard-*.tar")), default=-1)
        shard = self.folder / f"shard-{number:06d}.tar"
        growing = shard.with_suffix(".growing")
        with tarfile.open(growing, "w", format=tarfile.USTAR_FORMAT) as shard_file:
            for part in self._waiting:
                with tarfile.open(part, "r:") as tar:
                    for member in tar:
                        shard_file.addfile(member, tar.extractfile(member))
        growing.replace(shard)
        _write_index(shard.with_suffix(".json"), index_of(shard))
        for part in self._waiting:
            part.unlink()
        self._waiting, self._bytes = [], 0

    def _agree_on_spec(self) -> None:
        path = self.folder / SPEC_FILE
        if path.exists() and FeatureSpec.from_dict(json.loads(path.read_text())) != self.spec:
            raise ValueError(f"{self.folder} holds other features than are now asked for: take another folder")
        path.write_text(json.dumps(self.spec.to_dict(), indent=1))


def name_of(clip_id: str) -> str:
    """Names the part that a clip, or a piece of one, came in."""
    return clip_id.partition("~")[0].replace(".", "_")


def _write_index(path: Path, clips: list[dict[str, Any]]) -> None:
    write_atomically(path, json.dumps(clips).encode())
