"""`mudar evaluate`: what a model is worth on a folder of clips of your own. Reaches the laboratory, lazily."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from mudar.errors import BadRequest
from service.cli_output import bar, plain_errors
from service.settings import settings


@plain_errors
def evaluate(
    retrieval: Annotated[Path, typer.Option(help="Folder of clips that have their own sound.")],
    table: Annotated[Path | None, typer.Option(help="CSV with file (below the folder) and song_id.")] = None,
    gallery: Annotated[str, typer.Option(help="songs (one clip of each), clips or others.")] = "songs",
    records: Annotated[Path | None, typer.Option(help="Keep the clips' features here, for a second run.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the sweep over lambda into this picture.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that look at clips.")] = os.cpu_count() or 1,
    model: Annotated[str | None, typer.Option(help="name, name@alias or name@version.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """R@1, R@5, P@10 and mAP of retrieval by song, both ways, over lambda, beside chance. Needs the extra `train`."""
    if not retrieval.is_dir():
        raise BadRequest(f"There is no folder {retrieval}.", hint="Give the folder that the clips lie in.")
    if gallery not in ("songs", "clips", "others"):
        raise BadRequest(f"There is no gallery {gallery!r}.", hint="Use songs, clips or others.")
    with tempfile.TemporaryDirectory() as passing:
        found = _figures(retrieval, table, records or Path(passing), workers, model, gallery)
    _print(found, as_json)
    if plot:
        from training.downstream.sweep_plot import draw

        draw({"own": found}, plot)


def _figures(
    folder: Path, table: Path | None, records: Path, workers: int, model: str | None, gallery: str
) -> dict[str, Any]:
    from rich.console import Console

    from model_store.loader import load
    from training import preprocess
    from training.data.extract import RealJob
    from training.data.store import Shelf
    from training.downstream import retrieval

    told = settings()
    network = load(model or told.model_name, told.model_roots).model
    jobs = preprocess.real_jobs(folder, table)
    preprocess.run(jobs, records, network.spec, workers, Console(stderr=True))
    there = set(Shelf(records).clip_ids())
    usable = [Shelf(records).load(job.clip_id) for job in jobs if job.clip_id in there]
    if not usable:
        raise BadRequest(f"No clip in {folder} can be used.", hint="See above why each was skipped.")
    with bar("network") as progress:
        seen = iter(range(1, len(usable) + 1))
        named = {job.clip_id: _group(job.path.relative_to(folder)) for job in jobs if isinstance(job, RealJob)}
        tick = lambda: progress(next(seen) / len(usable), "")  # noqa: E731
        groups = retrieval.views_of(network, usable, tick, lambda record: named[record.clip_id])
    return {group: retrieval.sweep(views, gallery) for group, views in groups.items()}  # type: ignore[arg-type]


def _group(relative: Path) -> str:
    """Clips in folders of their own are a table of their own."""
    return relative.parts[0] if len(relative.parts) > 1 else "clips"


def _print(found: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console

    from training.downstream import retrieval

    if as_json:
        typer.echo(json.dumps(found))
    else:
        retrieval.show(found, Console(width=140))
