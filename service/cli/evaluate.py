"""Evaluates a model on clips of your own, or on records (`mudar evaluate`). Imports training lazily."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from mudar.errors import BadRequest
from mudar.spec import FeatureSpec
from service.cli.output import bar, plain_errors
from service.settings import settings


@plain_errors
def evaluate(
    retrieval: Annotated[Path | None, typer.Option(help="Folder of clips that have their own sound.")] = None,
    tables: Annotated[list[Path] | None, typer.Option(help="Records, or folders of clips: the paper's tables.")] = None,
    teach: Annotated[list[Path] | None, typer.Option(help="Labelled training records, for table 2.")] = None,
    colours: Annotated[
        list[Path] | None, typer.Option("--colors", "--colours", help="Colour features, for the control.")
    ] = None,
    only: Annotated[Path | None, typer.Option(help="Of real records only these clip ids (one a line).")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV with file (below the folder) and song_id.")] = None,
    gallery: Annotated[str, typer.Option(help="songs (one clip of each), clips or others.")] = "songs",
    records: Annotated[Path | None, typer.Option(help="Keep the clips' features here, for a second run.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the sweep over lambda into this picture.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that look at clips.")] = os.cpu_count() or 1,
    model: Annotated[str | None, typer.Option(help="name, name@alias or name@version.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Tables 1, 2 and 3 of records or clips (--tables), or retrieval by song over lambda (--retrieval), beside chance.

    Needs the extra `train`."""
    if tables:
        _tables(tables, table, records, workers, model, teach or [], colours or [], only, as_json)
        return
    if retrieval is None:
        raise BadRequest("Nothing to evaluate on.", hint="Give --tables RECORDS, or --retrieval FOLDER of clips.")
    if not retrieval.is_dir():
        raise BadRequest(f"There is no folder {retrieval}.", hint="Give the folder that the clips lie in.")
    if gallery not in ("songs", "clips", "others"):
        raise BadRequest(f"There is no gallery {gallery!r}.", hint="Use songs, clips or others.")
    with tempfile.TemporaryDirectory() as passing:
        figures = _figures(retrieval, table, records or Path(passing), workers, model, gallery)
    _print(figures, as_json)
    if plot:
        from training.evaluation.downstream.retrieval import plot as draw

        draw({"own": figures}, plot)


def _tables(
    paths: list[Path], table: Path | None, keep_in: Path | None, workers: int, model: str | None, teach: list[Path],
    colours: list[Path], only: Path | None, as_json: bool,
) -> None:  # fmt: skip
    from rich.console import Console

    from model_store.loader import load
    from training.data.compact_format import read_records
    from training.evaluation.downstream.color_baseline import read_colors
    from training.evaluation.inference import group_of
    from training.evaluation.tables import __main__ as paper
    from training.evaluation.tables.report import TableOptions, measure

    for path in [*paths, *teach, *colours]:
        if not path.exists():
            raise BadRequest(f"There is no {path}.", hint="Give records, a packed file, or a folder of clips.")
    chosen = settings()
    network = load(model or chosen.model_name, chosen.model_roots).model
    with tempfile.TemporaryDirectory() as passing:
        figures = [_records(path, table, keep_in or Path(passing), workers, network.spec) for path in paths]
        records = paper.select_records(figures, only, table)
        own = {r.clip_id for path, made in zip(paths, figures, strict=True) if made != path for r in read_records(made)}
        labelled = [record for path in teach for record in read_records(path)]
    if not records:
        raise BadRequest("There is no clip to evaluate on.", hint="See above why each was skipped, or check --only.")
    with bar("clips") as progress:
        count = iter(range(1, len(records) + 1))
        tick = lambda: progress(next(count) / len(records), "")  # noqa: E731
        options = TableOptions(
            colors=read_colors(*colours), group_of=lambda record: "clips" if record.clip_id in own else group_of(record)
        )
        measured = measure(network, records, labelled, options, tick)
    paper.show(measured, as_json, Console(width=200))


def _records(path: Path, table: Path | None, keep_in: Path, workers: int, spec: FeatureSpec) -> Path:
    """Where the records of `path` are: there, or, for a folder of clips, in `kept` once they are made."""
    from rich.console import Console

    from training import preprocess

    if path.is_file() or any(path.glob("*.npz")):
        return path
    extractor = preprocess.Extractor(keep_in, spec)
    preprocess.run(preprocess.real_jobs(path, table), extractor, workers, Console(stderr=True))
    return keep_in


def _figures(
    folder: Path, table: Path | None, records: Path, workers: int, model: str | None, gallery: str
) -> dict[str, Any]:
    from rich.console import Console

    from model_store.loader import load
    from training import preprocess
    from training.data.extract import RealJob
    from training.data.records import RecordStore
    from training.evaluation.downstream import retrieval
    from training.evaluation.inference import predict_groups

    chosen = settings()
    network = load(model or chosen.model_name, chosen.model_roots).model
    jobs = preprocess.real_jobs(folder, table)
    preprocess.run(jobs, preprocess.Extractor(records, network.spec), workers, Console(stderr=True))
    there = set(RecordStore(records).clip_ids())
    usable = [RecordStore(records).load(job.clip_id) for job in jobs if job.clip_id in there]
    if not usable:
        raise BadRequest(f"No clip in {folder} can be used.", hint="See above why each was skipped.")
    with bar("network") as progress:
        count = iter(range(1, len(usable) + 1))
        named = {job.clip_id: _group(job.path.relative_to(folder)) for job in jobs if isinstance(job, RealJob)}
        tick = lambda: progress(next(count) / len(usable), "")  # noqa: E731
        groups = predict_groups(network, usable, tick, lambda record: named[record.clip_id])
    return {group: retrieval.sweep(views, gallery) for group, views in groups.items()}  # type: ignore[arg-type]


def _group(relative: Path) -> str:
    """Clips in folders of their own are a table of their own."""
    return relative.parts[0] if len(relative.parts) > 1 else "clips"


def _print(figures: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console

    from training.evaluation.downstream import retrieval

    if as_json:
        typer.echo(json.dumps(figures))
    else:
        retrieval.show(figures, Console(width=140))
