"""Strokes and beats of one's own on the command line: from a text file, with a service and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mudar.errors import BadRequest
from service.cli.main import app
from service.cli.points import seconds_in
from training.data.synthetic.clip import write_clip, write_song

STROKES = [0.6, 1.35, 2.1, 2.85, 3.6, 4.35, 5.1]
BEATS = [0.4, 1.1, 1.8, 2.5, 3.2, 3.9, 4.6, 5.3]


@pytest.mark.parametrize(
    "text",
    [
        "0.5\n1.25\n3\n",
        "time_s,kind\n0.5,onset\n1.25,landing\n3,onset\n",
        "0.500000\t0.500000\tone\n1.250000\t1.300000\ttwo\n\n3.0\t3.0\tand a word\n",
        "# taps\n3\n0.5\n1.25\n1.25\n",
    ],
)
def test_the_first_number_of_each_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "points.txt").write_text(text)
    assert seconds_in(tmp_path / "points.txt") == [0.5, 1.25, 3.0]


@pytest.mark.parametrize("content", [b"", b"no\ntime\n", b"0.5\nlater\n", b"\xff\xfe\x00", None])
def test_a_file_without_times_is_refused_with_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "points.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadRequest) as refused:
        seconds_in(path)
    assert "points.txt" in refused.value.detail
    assert "time" in refused.value.hint


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("by-hand")
    calls = {name: folder / name for name in ("dance.mp4", "song.flac", "strokes.txt", "beats.txt", "late.txt")}
    write_clip(calls["dance.mp4"], seed=3, duration_s=6.0, width=160, height=120, fps=25)
    write_song(calls["song.flac"], seed=4, duration_s=7.0)
    for name, points in (("strokes.txt", STROKES), ("beats.txt", BEATS), ("late.txt", [1.0, 99.0])):
        calls[name].write_text("\n".join(map(str, points)))
    return calls


def retargeted(files: dict[str, Path], tmp_path: Path, *how: str) -> Any:
    words = [str(files["dance.mp4"]), str(files["song.flac"]), "-o", str(tmp_path / "out.mp4"), "--accent", "0"]
    by_hand = ["--strokes", str(files["strokes.txt"]), "--beats", str(files["beats.txt"])]
    return CliRunner().invoke(app, ["retarget", *words, *by_hand, "--json", *how])


def judge(output: str) -> None:
    """Each landing is of a stroke that was given, on a beat that was given."""
    report = json.loads(output.splitlines()[-1])["report"]
    landings = report["landings"]
    assert len(landings["source_s"]) >= 4
    assert all(min(abs(at - s) for s in STROKES) < 2e-3 for at in landings["source_s"])
    assert all(min(abs(at + report["offset_s"] - b) for b in BEATS) < 2e-3 for at in landings["output_s"])
    assert report["tempo"]["music"] == pytest.approx(60 / 0.7, abs=0.01)


def test_without_a_service(files: dict[str, Path], tmp_path: Path) -> None:
    ran = retargeted(files, tmp_path, "--local")
    assert ran.exit_code == 0, ran.output
    judge(ran.stdout)


def test_with_a_service(up: Any, files: dict[str, Path], tmp_path: Path) -> None:
    ran = retargeted(files, tmp_path, "--url", str(up.http.base_url))
    assert ran.exit_code == 0, ran.output
    judge(ran.stdout)


@pytest.mark.parametrize("how", ["local", "service"])
def test_points_beyond_the_file_are_refused(up: Any, files: dict[str, Path], tmp_path: Path, how: str) -> None:
    late = {**files, "strokes.txt": files["late.txt"]}
    ran = retargeted(late, tmp_path, *(["--local"] if how == "local" else ["--url", str(up.http.base_url)]))
    assert ran.exit_code == 2
    assert "must ascend, in seconds from 0 to 6" in ran.output
    assert not (tmp_path / "out.mp4").exists()
