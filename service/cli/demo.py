"""Runs the main job end to end, as a user of the HTTP interface would (`make demo`), and leaves nothing running.

Makes a dancer and three songs (or takes real files besides), starts `mudar up` on a free port, embeds, retrieves,
retargets, plays the answer back and prints what came of it. Knows only the command line and HTTP.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress, TaskID, TimeElapsedColumn
from rich.table import Table

from service.cli.up.supervisor import free_port
from service.settings import child_environment

OUT = Path("demo-output")
SONG_SEEDS = (11, 12, 13)
DANCER_SEED = 7
console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Item:
    """One embedded file: the API's record of it and how long embedding took, seconds."""

    record: dict[str, Any]
    seconds: float

    @property
    def id(self) -> str:
        """The item's id in the library."""
        return str(self.record["id"])


@contextmanager
def running_service(library: Path) -> Iterator[httpx.Client]:
    """Runs `mudar up` on a free port with its data in `library`; ends it, with all it started, on the way out."""
    port = free_port()
    log_path = library.parent / "service.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli.main", "up", "--port", str(port)],
            env=child_environment(MUDAR_DATA_DIR=str(library)),
            stdout=log,
            stderr=log,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
                _wait_ready(client, process, log_path)
                yield client
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_ready(client: httpx.Client, process: subprocess.Popen[bytes], log_path: Path) -> None:
    for _ in range(900):
        if process.poll() is not None:
            break
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"The service did not start; its last words:\n{log_path.read_text()[-2000:]}")


def _refuse(answer: httpx.Response | dict[str, Any]) -> None:
    problem = answer.json() if isinstance(answer, httpx.Response) else answer
    raise SystemExit(f"{problem.get('code')}: {problem.get('detail')} {problem.get('hint', '')}".strip())


def finished(client: httpx.Client, answer: httpx.Response, bar: Progress, task: TaskID) -> dict[str, Any]:
    """The result of the job that `answer` announces, its progress shown while it runs."""
    if answer.status_code != 202:
        _refuse(answer)
    job_id = answer.json()["job_id"]
    while True:
        job = client.get(f"/jobs/{job_id}", params={"wait": 0.5}).json()
        bar.update(task, completed=job["progress"])
        if job["state"] == "done":
            bar.update(task, completed=1)
            return dict(job["result"])
        if job["state"] in {"failed", "cancelled"}:
            _refuse(job["error"] or {"code": job["state"], "detail": ""})


def embed(client: httpx.Client, path: Path, kind: str, bar: Progress) -> Item:
    """Send a file to /embed and wait for its item."""
    task = bar.add_task(f"embed {path.name}", total=1)
    started = time.perf_counter()
    with path.open("rb") as file:
        answer = client.post("/embed", files={"file": (path.name, file)}, data={"kind": kind, "title": path.name})
    record = finished(client, answer, bar, task)["items"][0]
    return Item(record | {"title": path.name}, time.perf_counter() - started)


def generate(folder: Path, bar: Progress) -> tuple[Path, list[Path]]:
    """A dancer's clip to the first of three songs, and the songs, as files."""
    songs = [folder / f"song-{letter}.flac" for letter in "ABC"]
    dancer = folder / "dancer.mp4"
    make = [sys.executable, "-m", "training.data.synthetic.clip"]
    jobs = [[*make, str(s), "--seed", str(seed)] for s, seed in zip(songs, SONG_SEEDS, strict=True)]
    jobs.append([*make, str(dancer), "--seed", str(DANCER_SEED), "--song-seed", str(SONG_SEEDS[0])])
    for job in bar.track(jobs, description="generate a dancer and three songs"):
        subprocess.run(job, check=True, stdout=subprocess.DEVNULL)
    return dancer, songs


def retrieve(client: httpx.Client, dance: Item) -> list[dict[str, Any]]:
    """The songs that fit the dance, best first."""
    answer = client.post("/retrieve", params={"dance_id": dance.id, "k": 10})
    if answer.status_code != 200:
        _refuse(answer)
    return list(answer.json()["results"])


def retarget(client: httpx.Client, dance: Item, music: Item, out: Path, bar: Progress) -> dict[str, Any]:
    """Warp the dance onto the song, fetch the video from its URL into `out`; the job's result."""
    task = bar.add_task(f"retarget {dance.record['title']} onto {music.record['title']}", total=1)
    started = time.perf_counter()
    result = finished(client, client.post("/retarget", json={"dance_id": dance.id, "music_id": music.id}), bar, task)
    result["seconds"] = time.perf_counter() - started
    with client.stream("GET", result["video_url"]) as video, out.open("wb") as file:
        video.raise_for_status()
        for block in video.iter_bytes():
            file.write(block)
    result["url"] = str(client.base_url.join(result["video_url"]))
    result["path"] = str(out)
    return result


def show_items(items: list[Item]) -> None:
    """What was seen and heard."""
    table = Table(title="Seen and heard", title_justify="left")
    for column in ("file", "kind", "length", "tempo", "strokes", "segments", "embedded in"):
        table.add_column(column, justify="left" if column in {"file", "kind"} else "right")
    for item in items:
        r = item.record
        speed = r["duration_s"] / item.seconds
        table.add_row(
            r["title"], r["kind"], f"{r['duration_s']:.1f} s", f"{r['tempo_bpm']:.0f} bpm", str(r["strokes"]),
            str(r["segments"]), f"{item.seconds:.1f} s ({speed:.1f}x real time)",
        )  # fmt: skip
    console.print(table)


def show_matches(dance: Item, matches: list[dict[str, Any]]) -> None:
    """The ranked songs, with both parts of the score."""
    table = Table(title=f"Songs that fit {dance.record['title']}", title_justify="left")
    for column in ("song", "score", "embedding", "rhythm", "tempo", "dance from", "song from"):
        table.add_column(column, justify="left" if column == "song" else "right")
    for m in matches:
        table.add_row(
            m["title"], f"{m['score']:.3f}", f"{m['embedding_score']:.3f}", f"{m['rhythm_score']:.3f}",
            f"{m['tempo_bpm']:.0f} bpm", f"{m['query_start_s']:.0f} s", f"{m['start_s']:.0f} s",
        )  # fmt: skip
    console.print(table)


def show_retarget(result: dict[str, Any]) -> None:
    """How well the warp lands, and where the video is."""
    report = result["report"]
    table = Table(title=f"Retargeted by {result['method']}", title_justify="left")
    for column in ("", "before", "after", "chance"):
        table.add_column(column, justify="right")
    names = {
        "beats_hit": "beats hit within a frame",
        "onsets_hit": "onsets hit within a frame",
        "beat_alignment": "beat alignment score",
    }
    for key, name in names.items():
        table.add_row(name, *(f"{report[key][when]:.2f}" for when in ("before", "after", "chance")))
    console.print(table)
    speed, landing = report["speed"], report["landing_error_ms"]
    console.print(
        f"speed {speed['p1']:.2f} to {speed['p99']:.2f} (median {speed['p50']:.2f}) · landing error median "
        f"{landing['p50']:.0f} ms, p95 {landing['p95']:.0f} ms · {report['source_used']:.0%} of the source used · "
        f"{result['duration_s']:.1f} s of video in {result['seconds']:.1f} s"
    )
    console.print(f"video  [bold]{result['path']}[/bold]\nurl    {result['url']}  (while the service ran)\n")


def run(dance_path: Path | None, music_path: Path | None, out: Path) -> None:
    """The whole demonstration; leaves the videos and the report in `out` and nothing running."""
    if (dance_path is None) != (music_path is None):
        raise SystemExit("Give both, a dance and a song: make demo DANCE=clip.mp4 MUSIC=song.ogg")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".work-") as work, Progress(
        *Progress.get_default_columns(), TimeElapsedColumn(), console=console
    ) as bar:  # fmt: skip
        library = Path(work) / "library"
        library.mkdir()
        dancer, songs = generate(Path(work), bar)
        with running_service(library) as client:
            items = [embed(client, dancer, "dance", bar), *(embed(client, song, "music", bar) for song in songs)]
            pairs = [(items[0], items[2], out / "dancer-on-song-B.mp4")]
            if dance_path and music_path:
                dance, music = embed(client, dance_path, "dance", bar), embed(client, music_path, "music", bar)
                items += [dance, music]
                pairs.append((dance, music, out / f"{dance_path.stem}-on-{music_path.stem}.mp4"))
            matches = [(dance, retrieve(client, dance)) for dance, _, _ in pairs]
            results = [retarget(client, dance, music, path, bar) for dance, music, path in pairs]
        shutil.copy2(dancer, out / "dancer.mp4")
    show_items(items)
    for dance, results_of_dance in matches:
        show_matches(dance, results_of_dance)
    for result in results:
        show_retarget(result)
    (out / "report.json").write_text(json.dumps(results, indent=1))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="MuDaR's main job, end to end.")
    parser.add_argument("--dance", type=Path)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    for path in (args.dance, args.music):
        if path is not None and not path.is_file():
            raise SystemExit(f"There is no file {path}.")
    run(args.dance, args.music, args.out)


if __name__ == "__main__":
    main()
