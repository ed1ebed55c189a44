"""`mudar ingest` against a whole running service, and POST /embed with several files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.cli.main import app
from tests.waiting import PATIENCE_S, wait_until


def ingest(up: Any, *words: str) -> tuple[int, list[dict[str, Any]], dict[str, int]]:
    """Exit status, the record of each file by name, and the summary."""
    ran = CliRunner().invoke(app, ["ingest", *words, "--url", str(up.http.base_url), "--json"])
    *records, summary = (json.loads(line) for line in ran.stdout.strip().splitlines())
    return ran.exit_code, sorted(records, key=lambda record: record["file"]), summary["summary"]


@pytest.fixture
def folder(tmp_path: Path, make_clip: Callable[..., Path], files: dict[str, bytes]) -> Path:
    """A clip, the same under another name in a folder of its own, a song, and a file that is none."""
    root = tmp_path / "clips"
    (root / "again").mkdir(parents=True)
    make_clip(root / "a.mp4", seconds=2.3, size=(80, 64))  # bytes that no other test sends
    shutil.copy(root / "a.mp4", root / "again" / "b.mp4")
    make_clip(root / "song.m4a", seconds=2.3, picture=False)
    (root / "text.mp4").write_bytes(files["text"])
    (root / "notes.txt").write_text("not a clip")
    (root / ".hidden.mp4").write_bytes(b"")
    return root


def test_a_folder_goes_in_once_and_what_failed_is_told(up: Any, folder: Path) -> None:
    status, records, summary = ingest(up, str(folder), "--label", "bulk")
    assert status == 1
    assert summary == {"files": 4, "added": 2, "known": 0, "duplicate": 1, "failed": 1}
    assert [record["file"] for record in records] == ["a.mp4", "again/b.mp4", "song.m4a", "text.mp4"]
    assert records[3]["error"]["code"] == "unreadable_media"
    added = [item for record in records for item in record["items"]]
    items = [up.http.get(f"/items/{item_id}").json() for item_id in added]
    assert sorted(item["kind"] for item in items) == ["dance", "music"]
    assert all(item["state"] == "ready" and item["labels"] == ["bulk"] for item in items)

    before = len(up.http.get("/jobs").json()["jobs"])
    status, _, summary = ingest(up, str(folder), "--label", "bulk")
    assert (status, summary["known"], summary["duplicate"], summary["failed"]) == (1, 2, 1, 1)
    assert len(up.http.get("/jobs").json()["jobs"]) == before  # nothing was sent a second time

    (folder / "text.mp4").unlink()
    assert ingest(up, str(folder))[0] == 0


def test_a_table_says_what_each_file_is(up: Any, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("file,song_id,title,labels,kind\na.mp4,S1,First,x;y,both\nsong.m4a,S2,,,\nmissing.mp4,S3,,,\n")
    status, records, summary = ingest(up, str(folder), "--table", str(table))
    assert status == 1
    assert (summary["files"], summary["failed"]) == (3, 1)
    first, missing, _ = records
    assert (missing["file"], missing["outcome"]) == ("missing.mp4", "failed")
    both = [up.http.get(f"/items/{item_id}").json() for item_id in first["items"]]
    assert {item["kind"] for item in both} == {"dance", "music"}
    assert all({"x", "y"} <= set(item["labels"]) for item in both)
    (music,) = [item for item in both if item["kind"] == "music"]
    assert (music["title"], music["metadata"]) == ("First", {"song_id": "S1"})


def test_a_killed_run_is_gone_on_with(up: Any, tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    (tmp_path / "many").mkdir()
    for number in range(4):
        make_clip(tmp_path / "many" / f"{number}.mp4", seconds=2.6 + number / 10)
    command = [
        sys.executable,
        "-m",
        "service.cli.main",
        "ingest",
        str(tmp_path / "many"),
        "--url",
        str(up.http.base_url),
    ]
    label = f"killed-{os.getpid()}"
    run = subprocess.Popen([*command, "--label", label, "--parallel", "1"], stdout=subprocess.DEVNULL)
    wait_until(lambda: up.http.get("/items", params={"label": label}).json()["items"])
    run.send_signal(signal.SIGKILL)
    run.wait(PATIENCE_S)
    status, _, summary = ingest(up, str(tmp_path / "many"), "--label", label)
    assert status == 0
    assert summary["added"] + summary["known"] == 4
    items = up.http.get("/items", params={"label": label}).json()["items"]
    assert len(items) == 4
    assert all(item["state"] == "ready" for item in items)


def test_ctrl_c_tells_what_was_done(up: Any, tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    for number in range(2):  # bytes that no other test sends: what is known already is done before anybody interrupts
        make_clip(tmp_path / f"{number}.mp4", seconds=3.1 + number / 5, size=(88, 72))
    command = [sys.executable, "-m", "service.cli.main", "ingest", str(tmp_path), "--url", str(up.http.base_url)]
    busy = up.noop(60)  # the one worker is kept from the clips
    run = subprocess.Popen([*command, "--label", "c"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: up.http.get("/items", params={"label": "c"}).json()["items"])
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130, err
    assert "not looked at" in out
    assert "Traceback" not in err
    up.http.delete(f"/jobs/{busy}")
    assert up.ended(busy)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/nowhere"], "There is no folder"),
        ([".", "--parallel", "0"], "parallel is 0"),
        ([".", "--table", "/nowhere.csv"], "cannot be read"),
        (["docker"], "no video and no music"),
    ],
)
def test_what_cannot_be_is_said_plainly(words: list[str], says: str) -> None:
    ran = CliRunner().invoke(app, ["ingest", *words])
    assert ran.exit_code == 2
    assert says in ran.stderr


def test_no_service_is_told_at_once() -> None:
    ran = CliRunner().invoke(app, ["ingest", "tests", "--url", "http://127.0.0.1:9"])
    assert ran.exit_code == 2
    assert "unreachable" in ran.stderr or "no video" in ran.stderr


def post(api: Any, *parts: tuple[str, bytes], **form: str) -> httpx.Response:
    return api.http.post("/embed", data=form, files=[("file", part) for part in parts])


def test_many_files_have_a_job_each_and_a_bad_one_stops_no_other(api: Any, files: dict[str, bytes]) -> None:
    answer = post(api, ("a.mp4", files["dance"]), ("b.mp4", files["text"]), ("c.m4a", files["song"]))
    assert answer.status_code == 202
    first, bad, song = answer.json()["jobs"]
    assert [entry["filename"] for entry in (first, bad, song)] == ["a.mp4", "b.mp4", "c.m4a"]
    assert (bad["job_id"], bad["error"]["code"]) == (None, "unreadable_media")
    for entry, kind in ((first, "dance"), (song, "music")):
        assert entry["error"] is None
        assert api.http.get(f"/jobs/{entry['job_id']}").json()["item_ids"] == entry["items"]
        assert api.http.get(f"/items/{entry['items'][0]}").json()["kind"] == kind


def test_one_file_is_answered_as_ever(api: Any, files: dict[str, bytes]) -> None:
    answer = post(api, ("a.mp4", files["dance"]))
    assert set(answer.json()) == {"job_id", "state", "items", "notes"}
    assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"


def test_what_is_wrong_with_the_form_is_wrong_for_all(api: Any, files: dict[str, bytes]) -> None:
    answer = post(api, ("a.mp4", files["dance"]), ("b.m4a", files["song"]), metadata="[]")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")


def test_searching_takes_one_file(api: Any, files: dict[str, bytes]) -> None:
    parts = [("file", ("a.mp4", files["dance"])), ("file", ("b.mp4", files["dance"]))]
    answer = api.http.post("/retrieve", files=parts)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
    assert "2 files" in answer.json()["detail"]


def test_items_are_found_by_their_bytes(api: Any, files: dict[str, bytes]) -> None:
    post(api, ("a.mp4", files["dance"]))
    sha256 = hashlib.sha256(files["dance"]).hexdigest()
    listed = api.http.get("/items", params={"sha256": sha256, "model": "mudar-small"}).json()["items"]
    assert {item["sha256"] for item in listed} == {sha256}
    assert api.http.get("/items", params={"sha256": "0" * 64}).json()["items"] == []
