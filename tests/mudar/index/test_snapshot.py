"""Snapshots: what was saved comes back; whatever is wrong with a file is noticed."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path

import numpy as np
import pytest

from mudar.index.hybrid import HybridIndex
from mudar.index.snapshot import SnapshotHeader, SnapshotUnusable, load, save

HEADER = SnapshotHeader(library=77, model="m@1", kind="dance", seq=12, at=1234567890.123456)
EXPECTED = dataclasses.replace(HEADER, seq=20)


@pytest.fixture
def index() -> HybridIndex:
    """Ten items of five segments, after a removal."""
    rng = np.random.default_rng(0)
    index = HybridIndex(6, 4)
    names = [f"i{n // 5}" for n in range(50)]
    index.add(np.arange(50), names, rng.uniform(-0.3, 0.3, (50, 6)), rng.uniform(-0.3, 0.3, (50, 4)), np.arange(50.0))
    index.remove("i3")
    return index


def test_what_was_saved_comes_back(index: HybridIndex, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "x.index"
    save(index, path, HEADER)
    loaded, stamp = load(path, EXPECTED, 6, 4)
    assert (stamp, len(loaded), loaded.item_ids()) == (HEADER, 45, index.item_ids())
    query = np.full((1, 6), 0.2, np.float32), np.full((1, 4), 0.2, np.float32)
    for lam in (0.0, 0.4, 1.0):
        assert loaded.search(*query, lam, 9) == index.search(*query, lam, 9)
    assert [p.name for p in path.parent.iterdir()] == ["x.index"]


def test_an_empty_index_too(tmp_path: Path) -> None:
    save(HybridIndex(6, 4), tmp_path / "x", HEADER)
    assert len(load(tmp_path / "x", EXPECTED, 6, 4)[0]) == 0


@pytest.mark.parametrize(
    ("expected", "dims", "why"),
    [
        (dataclasses.replace(EXPECTED, library=78), (6, 4), "library"),
        (dataclasses.replace(EXPECTED, model="m@2"), (6, 4), "model"),
        (dataclasses.replace(EXPECTED, kind="music"), (6, 4), "kind"),
        (dataclasses.replace(EXPECTED, seq=11), (6, 4), "covers change 12"),
        (EXPECTED, (4, 6), "embed_dim"),
    ],
)
def test_what_is_not_ours_is_not_used(
    index: HybridIndex, tmp_path: Path, expected: SnapshotHeader, dims: tuple[int, int], why: str
) -> None:
    save(index, tmp_path / "x", HEADER)
    with pytest.raises(SnapshotUnusable, match=why):
        load(tmp_path / "x", expected, *dims)


def test_every_cut_and_every_flipped_byte_is_noticed(index: HybridIndex, tmp_path: Path) -> None:
    path = tmp_path / "x"
    save(index, path, HEADER)
    content = path.read_bytes()
    for size in [*range(0, 400, 7), *range(400, len(content), 101), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(SnapshotUnusable):
            load(path, EXPECTED, 6, 4)
    for at in [*range(0, 400, 3), *range(400, len(content), 67), len(content) - 1]:
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
        with pytest.raises(SnapshotUnusable):
            load(path, EXPECTED, 6, 4)
    path.write_bytes(content + b"\0")
    with pytest.raises(SnapshotUnusable):
        load(path, EXPECTED, 6, 4)
    path.unlink()
    with pytest.raises(SnapshotUnusable, match="no snapshot"):
        load(path, EXPECTED, 6, 4)


def test_a_failed_save_leaves_the_old_snapshot(index: HybridIndex, tmp_path: Path) -> None:
    path = tmp_path / "x"
    save(index, path, HEADER)
    content = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            save(index, path, dataclasses.replace(HEADER, seq=13))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_frozen_index_is_saved_as_it_was_whatever_changes_meanwhile(index: HybridIndex, tmp_path: Path) -> None:
    frozen, items = index.freeze(), index.item_ids()
    row = (np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32), [0.0])
    for n in range(3000):  # enough to make every column move in memory
        index.add([1000 + n], [f"new{n}"], *row)
    index.remove("i4")
    for n in range(2900):  # and enough to number rows anew
        index.remove(f"new{n}")
    save(frozen, tmp_path / "x", HEADER)
    assert load(tmp_path / "x", EXPECTED, 6, 4)[0].item_ids() == items
    save(index, tmp_path / "x", HEADER)
    left = items - {"i4"} | {f"new{n}" for n in range(2900, 3000)}
    assert load(tmp_path / "x", EXPECTED, 6, 4)[0].item_ids() == left
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
