"""`mudar evaluate --retrieval`: from a folder of clips to figures, and what it says of folders that will not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app


@pytest.fixture
def clips(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("one", "two"):
        make_clip(folder / f"{name}.mp4", seconds=3)
    (folder / "broken.mp4").write_bytes(b"nothing")
    rows = [f"{name}.mp4,song-{name}" for name in ("one", "two", "broken")]
    (tmp_path / "clips.csv").write_text("\n".join(["file,song_id", *rows]))
    return folder


def test_figures_of_a_folder(clips: Path, tmp_path: Path) -> None:
    words = ["evaluate", "--retrieval", str(clips), "--table", str(tmp_path / "clips.csv"), "--workers", "1"]
    ran = CliRunner().invoke(app, [*words, "--records", str(tmp_path / "kept"), "--json"])
    assert ran.exit_code == 0, ran.output
    (figures,) = json.loads(ran.stdout.strip().splitlines()[-1]).values()
    assert (figures["clips"], figures["songs"], figures["chance"]["r1"]) == (2, 2, 0.5)
    assert "broken: unreadable_media" in ran.stderr
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 2


def test_the_paper_s_tables_of_a_folder(clips: Path, tmp_path: Path) -> None:
    words = ["evaluate", "--tables", str(clips), "--workers", "1", "--records", str(tmp_path / "kept")]
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    (figures,) = json.loads(ran.stdout.strip().splitlines()[-1]).values()
    assert set(figures["table1"]["beat"]["f1"]) == {"mean", "low", "high", "n"}
    assert figures["table3"]["0.5"]["chance"]["r1"]["mean"] == 0.5
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    assert "Table 3, a song looks for its dances" in ran.stdout
    assert "| chance | 0.500 |" in ran.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--retrieval", "/nowhere"], "There is no folder"),
        (["--tables", "/nowhere"], "There is no /nowhere"),
        ([], "Nothing to evaluate on"),
        (["--retrieval", ".", "--gallery", "louvre"], "There is no gallery"),
    ],
)
def test_what_cannot_be_is_said_plainly(words: list[str], says: str) -> None:
    ran = CliRunner().invoke(app, ["evaluate", *words])
    assert ran.exit_code == 2
    assert says in ran.stderr
