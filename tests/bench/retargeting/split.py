"""Splits clips and songs into a half on which settings are chosen and a half that judges them, by source.

A source is who filmed: what stands before `--` in a clip's name, or the whole name; a song is its own. The half is the
parity of the first 32 bits of the SHA-256 of that name, so nobody picks, and a new clip has its side before anyone has
seen it. A folder `full` holds other clips again in another size and takes no part.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

SIDES = ("tune", "held-out")
SONGS = (".ogg", ".flac", ".mp3", ".wav")


def side(name: str) -> str:
    """Returns the half of a source or song: `tune` or `held-out`."""
    return SIDES[int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 2]


def source_of(clip: Path) -> str:
    """Returns the source of a clip: who filmed it."""
    return clip.stem.split("--")[0]


def songs(folder: Path, which: str) -> list[Path]:
    """Lists the songs of this half, without click tracks."""
    files = sorted(p for p in folder.iterdir() if p.suffix in SONGS and "click" not in p.name)
    return [p for p in files if side(p.stem) == which]


def clips(folder: Path, which: str, count: int) -> list[Path]:
    """Lists at most `count` clips of this half: one of each source, then a second of each, and so on."""
    files = sorted(p for p in folder.rglob("*.mp4") if p.parent.name != "full" and side(source_of(p)) == which)
    turn: dict[str, int] = {}
    ranked = []
    for clip in sorted(files, key=lambda p: hashlib.sha256(p.name.encode()).hexdigest()):
        source = source_of(clip)
        ranked.append((turn.setdefault(source, 0), clip))
        turn[source] += 1
    ranked.sort(key=lambda entry: entry[0])
    return [clip for _, clip in ranked[:count]]


def pairs(clip_folder: Path, song_folder: Path, which: str, count: int) -> list[tuple[Path, Path]]:
    """Pairs clips of this half with its songs in turn."""
    music = songs(song_folder, which)
    return [(clip, music[n % len(music)]) for n, clip in enumerate(clips(clip_folder, which, count))] if music else []
