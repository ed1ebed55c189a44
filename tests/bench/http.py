"""`make bench-http`: POST /retrieve?music_id= on a running service whose library holds 200 000 segments of dances.

The library is written straight into the database; `mudar up` is started as a user would. Clients are plain sockets in
a process of their own, each asking again as soon as it is answered, for other music each time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from sqlalchemy import insert

from model_store.registry import Registry
from mudar.index.builder import EXACT_ROWS
from mudar.library import tables as t
from mudar.library.db import Database
from mudar.library.serialization import to_bytes
from mudar.library.settings import SHIPPED_MODELS
from tests.bench import vectors
from tests.bench.row import Row
from tests.conftest import start_stack

SEGMENTS, SONGS = 200_000, 200
CLIENTS = ((1, 400), (8, 2000), (64, 2000))  # clients, questions in all
_BATCH = 20_000


def fill(database: Database, model: str, made: vectors.Vectors) -> list[str]:
    """Dances and SONGS pieces of music of one segment each; returns the ids of the music."""
    dances, count = made.names(), len(made.item)
    songs = [f"music-{number:09d}" for number in range(SONGS)]
    with database.begin() as session:
        for first in range(0, count, _BATCH):
            part = range(first, min(first + _BATCH, count))
            names = list(dict.fromkeys(dances[row] for row in part if row % vectors.SEGMENTS == 0))
            _items(session, names, "dance", model)
            rows = [_segment(dances[row], row % vectors.SEGMENTS, made.embeddings[row], made.rhythms[row], model)
                    for row in part]  # fmt: skip
            session.execute(insert(t.segments), rows)
        _items(session, songs, "music", model)
        queries = zip(songs, made.query_embeddings, made.query_rhythms, strict=True)
        session.execute(insert(t.segments), [_segment(name, 0, e, r, model) for name, e, r in queries])
    return songs


def _items(session: Any, names: Sequence[str], kind: str, model: str) -> None:
    at = time.time()
    shas = [f"{kind[0]}{name[-9:]}".rjust(64, "0") for name in names]
    session.execute(insert(t.blobs), [{"sha256": s, "size_bytes": 1, "media_type": "", "held_at": at} for s in shas])
    rows = [{"id": name, "sha256": sha, "kind": kind, "title": f"The {name}", "metadata": {}, "info": {},
             "linked_to": None, "created_at": at} for name, sha in zip(names, shas, strict=True)]  # fmt: skip
    session.execute(insert(t.items), rows)
    about = {"duration_s": 28.0, "tempo_bpm": 120.0, "strokes": 0, "segments": 1, "rhythm": {}, "stage_s": {}}
    session.execute(
        insert(t.analyses), [{"item_id": name, "model": model, "created_at": at, **about} for name in names]
    )


def _segment(item_id: str, number: int, embedding: Any, rhythm: Any, model: str) -> dict[str, Any]:
    start_s = 4.0 * number
    # A hair below 1: the store refuses more, and float32 norms may be.
    parts = (to_bytes(embedding * np.float32(0.9999)), to_bytes(rhythm * np.float32(0.9999)))
    return {"item_id": item_id, "model": model, "number": number, "start_s": start_s, "end_s": start_s + 8,
            "embedding": parts[0], "rhythm": parts[1]}  # fmt: skip


def load(address: str, paths: Sequence[str], clients: int, questions: int) -> tuple[list[float], int]:
    """Seconds of each answer, and how many were not 200. Runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_load, (address, list(paths), clients, questions))


def _load(address: str, paths: list[str], clients: int, questions: int) -> tuple[list[float], int]:
    address_parts = urlsplit(address)
    taken: list[float] = []
    failed = 0

    async def client(number: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(address_parts.hostname, address_parts.port)
        for turn in range(questions // clients):
            path = paths[(number * 37 + turn) % len(paths)]
            began = time.perf_counter()
            writer.write(f"POST {path} HTTP/1.1\r\nhost: {address_parts.netloc}\r\ncontent-length: 0\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            taken.append(time.perf_counter() - began)
            failed += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(client(number) for number in range(clients)))

    asyncio.run(all_of_them())
    return taken, failed


def rows(folder: Path, exact_rows: int, processes: int, segments: int = SEGMENTS) -> list[Row]:
    """A row for each number of clients."""
    data = folder / "http-data"
    card = Registry([SHIPPED_MODELS]).card("mudar-small")
    database = Database(f"sqlite:///{data / 'mudar.sqlite3'}", durable=False)
    database.migrate()
    songs = fill(database, card.id, vectors.make(segments, card.model.embed_dim, SONGS))
    database.close()
    settings = {"INDEX_EXACT_ROWS": exact_rows, "INDEX_SNAPSHOT_S": 100_000, "API_PROCESSES": processes}
    stack = start_stack(data, **{f"MUDAR_{name}": str(value) for name, value in settings.items()})
    try:
        paths = [f"/retrieve?music_id={song}&k=10" for song in songs]
        _warm(stack.url, paths, processes, approximate=exact_rows < segments)
        assert stack.process is not None
        return [_row(stack.url, stack.process.pid, paths, clients, questions) for clients, questions in CLIENTS]
    finally:
        assert stack.process is not None
        stack.process.terminate()
        stack.process.wait(60)


def _warm(url: str, paths: Sequence[str], processes: int, approximate: bool) -> None:
    """Until every process has its index, and, if it shall be put into lists, has put it there."""
    for path in paths:
        httpx.post(url + path, timeout=300).raise_for_status()
    in_row, deadline = 0, time.monotonic() + 600
    while in_row < 10 * processes and time.monotonic() < deadline:
        lines = httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
        gauges = [line for line in lines if line.startswith("mudar_index_approximate{") and "dance" in line]
        ready = any(line.endswith(" 1.0") for line in gauges) if approximate else bool(gauges)
        in_row = in_row + 1 if ready else 0
        time.sleep(0.02 if ready else 0.5)


def _cpu_s(pid: int) -> float:
    """What the API's processes have used so far: that of `mudar up`, and the replicas below it."""
    used = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            replica = int(fields[1]) == pid and "service.cli.up.api_worker" in (folder / "cmdline").read_text()
        except OSError:
            continue
        if folder.name == str(pid) or replica:
            used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def _row(url: str, pid: int, paths: Sequence[str], clients: int, questions: int) -> Row:
    before, began = _cpu_s(pid), time.perf_counter()
    taken, failed = load(url, paths, clients, questions)
    wall_s, cpu_s = time.perf_counter() - began, _cpu_s(pid) - before
    cut = statistics.quantiles([1000 * one for one in taken], n=100)
    p50, p99 = cut[49], cut[98]
    reached = failed == 0 and (clients != 8 or (p50 <= 15 and p99 <= 60))
    goal = {8: "p50 <= 15 ms, p99 <= 60 ms", 64: "no error"}.get(clients, "")
    figures = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(taken) / wall_s:.0f}/s, {failed} errors"
    return Row(
        f"POST /retrieve, {clients} clients",
        figures,
        f"{1000 * cpu_s / len(taken):.1f} ms of CPU each",
        p50,
        None,
        goal,
        reached,
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=SEGMENTS)
    parser.add_argument("--exact-rows", type=int, default=EXACT_ROWS, help="as MUDAR_INDEX_EXACT_ROWS")
    parser.add_argument("--processes", type=int, default=2, help="as MUDAR_API_PROCESSES")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Path(folder), args.exact_rows, args.processes, args.segments):
            words = f"{row.what}: {row.measured} ({row.peer}) {row.goal} {'ok' if row.reached else 'MISSED'}"
            print(json.dumps(row.to_dict()) if args.json else words, flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
