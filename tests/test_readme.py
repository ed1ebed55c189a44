"""What the README says is run: its Python and command-line blocks as they stand, its HTTP block against a service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from model_store.registry import Registry
from tests.conftest import Stack
from tests.waiting import PATIENCE_S
from training.data.synthetic.clip import write_clip, write_song

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)


def blocks(language: str, starting: str = "") -> list[str]:
    return [text for kind, text in BLOCKS if kind == language and text.startswith(starting)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README speaks of."""
    here = tmp_path_factory.mktemp("readme")
    write_clip(here / "dance.mp4", seed=3, duration_s=8, width=320, height=180)
    write_song(here / "song.flac", seed=4, duration_s=12)
    for name, every_s in (("strokes", 0.6), ("beats", 0.55)):
        (here / f"{name}.txt").write_text("".join(f"{0.4 + every_s * k:.2f}\n" for k in range(12)))
    return here


def shell(script: str, folder: Path, **variables: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_block_runs(folder: Path) -> None:
    (script,) = blocks("python")
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(256,)" in done.stdout


def test_the_command_line_block_runs(folder: Path) -> None:
    (script,) = blocks("bash", "mudar")
    out = shell(script, folder)
    assert '"times_s"' in out
    assert "mudar-small" in out
    assert (folder / "out.mp4").stat().st_size > 10_000


@pytest.mark.skipif(not shutil.which("curl"), reason="the README's HTTP block uses curl, which is not here")
def test_the_http_block_runs(folder: Path, stack: Stack) -> None:
    (block,) = blocks("bash", "curl")
    lines = [line.split("   #")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
    lines = [line.replace("http://localhost:8000", stack.url) for line in lines]
    ids: dict[str, str] = {}

    def job(line: str) -> dict[str, object]:
        answer = json.loads(shell(line, folder, **ids))
        assert "job_id" in answer, answer
        ids["JOB_ID"] = answer["job_id"]
        record = {"state": "queued"}
        while record["state"] in {"queued", "running"}:
            record = httpx.get(f"{stack.url}/jobs/{answer['job_id']}?wait=60", timeout=PATIENCE_S).json()
        return dict(record["result"])  # type: ignore[call-overload]

    dance, music, listing, retrieve, retarget, last = lines
    ids["DANCE_ID"] = job(dance)["items"][0]["id"]  # type: ignore[index]
    ids["MUSIC_ID"] = job(music)["items"][0]["id"]  # type: ignore[index]
    assert ids["DANCE_ID"] in shell(listing, folder)
    assert ids["DANCE_ID"] in [r["id"] for r in json.loads(shell(retrieve, folder, **ids))["results"]]
    assert job(retarget)["video_url"]
    assert json.loads(shell(last, folder, **ids))["state"] == "done"


def test_its_two_commands_are_demo_and_test() -> None:
    assert re.findall(r"```sh\nmake ([a-z-]+)\n```", README) == ["demo", "test"]


def test_the_results_are_those_of_the_served_card() -> None:
    """Every number of the results' table is the card's, rounded; elsewhere in the section there is no figure."""
    (section,) = re.findall(r"^## Results\n(.*?)^## ", README, flags=re.DOTALL | re.MULTILINE)
    card = Registry([ROOT / "model_store" / "checkpoints"]).card("mudar-small")
    assert f"`{card.id}`" in section
    metrics = card.metrics
    mixed, couples = metrics["real, mixed"], metrics["real, bachata"]
    files, generated = metrics["generated, as files through the embedder"], metrics["generated"]
    beats = "beats of held-out folds"
    expected = [
        [generated["rhythm"]["f1_50ms"], generated["rhythm"]["chance_50ms"]],
        [files["f1_50ms"], files["chance_50ms"]],
        [mixed[beats]["f1"][0], mixed[beats]["chance"][0]],
        [couples[beats]["f1"][0], couples[beats]["chance"][0]],
        [*mixed[beats]["lift"], 0],
        [*couples[beats]["lift"], 0],
        *(
            [group["retrieval"]["lambda_0.25"]["r5"], group["retrieval"]["chance_r5"]]
            for group in (generated, mixed, couples)
        ),
        [mixed["retrieval"]["lambda_1.0"]["r5"], mixed["retrieval"]["chance_r5"]],
        [metrics["size_and_speed"]["realtime_factor_2_cores_720p"]],
    ]
    rows = [line.split("|")[2:4] for line in section.splitlines() if line.startswith("| ")][1:]
    for cells, values in zip(rows, expected, strict=True):
        numbers = re.findall(r"-?\d*\.?\d+", " ".join(cells).replace("95 %", ""))
        assert len(numbers) == len(values), cells
        for number, value in zip(numbers, values, strict=True):
            assert float(number) == round(value, len(number.partition(".")[2])), (cells, value)
    prose = "\n".join(line for line in section.splitlines() if not line.startswith("|")).replace(card.version, "")
    assert not re.search(r"\.\d", prose)
