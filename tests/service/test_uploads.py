"""Uploads stream to disk, stop at the cap while they stream, and leave nothing behind."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Request

from mudar.errors import BadRequest, StorageFull, UploadTooLarge
from mudar.library.blobs import BlobStore
from service.uploads import Form, receive
from tests.waiting import PATIENCE_S, wait_until


def request_of(content: bytes, content_type: str, pieces: int = 7) -> Request:
    """A request whose body comes in uneven pieces, as from a socket."""
    cuts = sorted(random.Random(1).sample(range(len(content) + 1), min(pieces, len(content))))
    parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]

    async def messages() -> AsyncIterator[dict[str, Any]]:
        for number, part in enumerate(parts):
            yield {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}

    source = messages()
    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers, "path": "/"}, lambda: anext(source))


def read(content: bytes, content_type: str, store: BlobStore, cap_bytes: int = 10_000_000) -> Form:
    """The form, with every file kept in the store."""

    async def run() -> Form:
        async with receive(request_of(content, content_type), store, cap_bytes) as form:
            for (upload,) in form.files.values():
                upload.store()
            return form

    return anyio.run(run)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store; at the end nothing lies in its temporary folder."""
    store = BlobStore(tmp_path / "blobs")
    yield store
    assert list(store.temporary.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_001])
def test_files_and_fields_arrive_as_another_client_sent_them(store: BlobStore, size: int) -> None:
    """Oracle: httpx encodes the body."""
    data = random.Random(size).randbytes(size)
    fields = {"title": "Für Elise\r\n--x", "labels": ["a", "b"], "empty": ""}
    sent = httpx.Request("POST", "http://x", data=fields, files={"file": ("наш клип.mp4", data)})
    form = read(sent.read(), sent.headers["content-type"], store)
    assert form.one("title") == "Für Elise\r\n--x"
    assert form.many("labels") == ["a", "b"]
    assert form.one("empty") is None
    assert form.file("file").filename == "наш клип.mp4"
    assert store.path(hashlib.sha256(data).hexdigest()).read_bytes() == data


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\x", ""])
def test_a_file_name_cannot_lead_outside(store: BlobStore, name: str) -> None:
    sent = httpx.Request("POST", "http://x", files={"file": (name or "x", b"data")})
    form = read(sent.read(), sent.headers["content-type"], store)
    assert form.file("file").path.parent == store.temporary
    assert "/" not in form.file("file").filename


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{}", "application/json"),
        (b"data", "multipart/form-data"),
        (b"no boundary in here at all", "multipart/form-data; boundary=xx"),
        (
            b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut of',
            "multipart/form-data; boundary=xx",
        ),
        (b"--xx\r\nContent-Disposition: form-data\r\n\r\nnameless\r\n--xx--\r\n", "multipart/form-data; boundary=xx"),
        (b"", "multipart/form-data; boundary=xx"),
    ],
)
def test_broken_bodies_are_the_senders_fault(store: BlobStore, content: bytes, content_type: str) -> None:
    with pytest.raises(BadRequest):
        read(content, content_type, store)


def test_the_cap_counts_the_whole_body(store: BlobStore) -> None:
    sent = httpx.Request("POST", "http://x", files={"file": ("a", bytes(5000))})
    with pytest.raises(UploadTooLarge):
        read(sent.read(), sent.headers["content-type"], store, cap_bytes=5000)
    assert not list(store.root.glob("??/??/*"))


def test_an_upload_over_the_cap_is_cut_while_it_streams(api: Any, body: Callable[[int], Iterator[bytes]]) -> None:
    """No length is announced: only what has come tells. The client must still be able to read the answer."""
    headers = {"content-type": "multipart/form-data; boundary=xx"}
    answer = api.http.post("/embed", content=body(30), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert list(api.container.blobs.temporary.iterdir()) == []


def test_an_announced_length_over_the_cap_is_refused_at_once(api: Any) -> None:
    """Nothing but the head is sent: the answer does not wait for the body."""
    host, port = api.http.base_url.host, api.http.base_url.port
    with socket.create_connection((host, port), timeout=PATIENCE_S) as raw:
        head = "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=xx\r\n"
        raw.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
        assert b" 413 " in raw.recv(200).splitlines()[0]


def test_a_client_that_goes_away_leaves_nothing(api: Any) -> None:
    host, port = api.http.base_url.host, api.http.base_url.port
    with socket.create_connection((host, port), timeout=PATIENCE_S) as raw:
        head = "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=xx\r\n"
        part = '--xx\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        raw.sendall(f"{head}Content-Length: 1500000\r\n\r\n{part}".encode() + bytes(1_200_000))
    wait_until(lambda: not list(api.container.blobs.temporary.iterdir()))


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A real file system of 4 MB."""
    folder = Path(tempfile.gettempdir()) / f"tiny-{uuid.uuid4().hex}"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        folder.rmdir()
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_said_so_and_nothing_stays(tiny_disk: Path) -> None:
    store = BlobStore(tiny_disk)
    sent = httpx.Request("POST", "http://x", files={"file": ("a", bytes(5_000_000))})
    with pytest.raises(StorageFull):
        read(sent.read(), sent.headers["content-type"], store)
    assert list(store.temporary.iterdir()) == []
    assert os.statvfs(tiny_disk).f_bfree > 0


def test_a_full_disk_answers_507_and_later_takes_the_file(
    tiny_disk: Path, settings: Any, run_api: Any, files: dict[str, bytes]
) -> None:
    with run_api(settings.model_copy(update={"data_dir": tiny_disk})) as api:
        ballast = tiny_disk / "ballast"
        ballast.write_bytes(bytes(max(0, os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_bsize - 600_000)))
        full = api.http.post("/embed", files={"file": ("a.mp4", files["large"])})
        assert (full.status_code, full.json()["code"]) == (507, "storage_full")
        assert list(api.container.blobs.temporary.iterdir()) == []
        ballast.unlink()
        assert api.http.post("/embed", files={"file": ("a.mp4", files["dance"])}).status_code == 202
