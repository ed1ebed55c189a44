"""Files come in whole or not at all: too large, no room, killed in the middle."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mudar.errors import ItemDeleted, StorageFull, UploadTooLarge
from mudar.library.blobs import Blob, BlobStore

DATA = random.Random(1).randbytes(3_000_000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty store."""
    return BlobStore(tmp_path / "blobs")


def files(store: BlobStore) -> list[Path]:
    """All files of the store, finished or not, but not its lock."""
    return sorted(path for path in store.root.rglob("*") if path.is_file() and path.name != "lock")


def chunks() -> Iterator[bytes]:
    """The data in pieces of an odd size."""
    for start in range(0, len(DATA), 70_001):
        yield DATA[start : start + 70_001]


def test_bytes_come_back_under_their_sha256(store: BlobStore) -> None:
    assert store.put_stream(chunks()) == Blob(SHA, len(DATA))
    assert store.path(SHA).read_bytes() == DATA
    assert store.has(SHA)
    assert files(store) == [store.path(SHA)]
    assert store.put_stream(io.BytesIO(DATA)) == Blob(SHA, len(DATA))
    assert files(store) == [store.path(SHA)]


def test_a_finished_file_is_adopted_from_inside_and_from_another_file_system(store: BlobStore) -> None:
    elsewhere = Path(f"/dev/shm/mudar-test-{os.getpid()}")
    inside = store.temp_path(".mp4")
    for path in (inside, elsewhere):
        path.write_bytes(DATA)
        assert store.adopt(path) == Blob(SHA, len(DATA))
        assert not path.exists()
        assert files(store) == [store.path(SHA)]
        store.path(SHA).unlink()


def test_many_who_bring_the_same_bytes_at_once_leave_one_file(store: BlobStore) -> None:
    with ThreadPoolExecutor(6) as pool:
        blobs = list(pool.map(lambda _: store.put_stream(chunks()), range(12)))
    assert set(blobs) == {Blob(SHA, len(DATA))}
    assert files(store) == [store.path(SHA)]
    assert store.path(SHA).read_bytes() == DATA


def test_an_upload_over_the_cap_is_cut_while_it_comes(store: BlobStore) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 100_000
            yield bytes(100_000)

    with pytest.raises(UploadTooLarge, match="1 MB"):
        store.put_stream(endless(), max_bytes=1_000_000)
    assert taken == 1_100_000
    assert files(store) == []
    assert store.put_stream([bytes(1_000_000)], max_bytes=1_000_000).size_bytes == 1_000_000


def test_a_stream_that_breaks_leaves_nothing(store: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put_stream(broken())
    assert files(store) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "", SHA.upper(), SHA[:-1], "g" * 64])
def test_only_a_sha256_names_a_file(store: BlobStore, name: str) -> None:
    with pytest.raises(ValueError, match="no sha256"):
        store.path(name)


def test_a_file_that_is_gone_says_so(store: BlobStore) -> None:
    with pytest.raises(ItemDeleted):
        store.path(SHA)


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A child process: what it does to itself (limits, kill) does not hurt us."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args], capture_output=True, text=True, timeout=60
    )


def test_the_limit_of_a_file_s_size_is_storage_full(store: BlobStore) -> None:
    child = run(
        """
        import resource, sys
        from mudar.errors import StorageFull
        from mudar.library.blobs import BlobStore
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            BlobStore(sys.argv[1]).put_stream([bytes(300_000)] * 9)
        except StorageFull as error:
            print(error.code)
        """,
        str(store.root),
    )
    assert child.stdout.strip() == "storage_full", child.stderr
    assert files(store) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB; skips where nobody may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    store = BlobStore(small_disk)
    first = store.put_stream([DATA[:1_000_000]])
    big = tmp_path / "big"
    big.write_bytes(DATA)
    for put in (lambda: store.put_stream(chunks()), lambda: store.adopt(big)):
        with pytest.raises(StorageFull):
            put()
        assert files(store) == [store.path(first.sha256)]
    assert big.exists()
    assert store.put_stream([DATA[:500_000]]).size_bytes == 500_000
    assert store.path(first.sha256).read_bytes() == DATA[:1_000_000]


def test_kill_9_in_mid_upload_leaves_no_half_file_in_place(store: BlobStore) -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from mudar.library.blobs import BlobStore\n"
            "with BlobStore(sys.argv[1]).writer() as w:\n"
            "    w.write(bytes(1_000_000)); print('in', flush=True); time.sleep(60)",
            str(store.root),
        ],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"in\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (left,) = files(store)
    assert left.parent == store.temporary
    os.utime(left, (0, 0))
    assert store.sweep(set(), 0) == []
    assert files(store) == []
