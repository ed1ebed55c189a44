"""Defines `mudar`: the service from the command line, and the core without a service (`--local`).

The one file of the service that leads to the heavy core, lazily, inside the commands that need it. Records go to
stdout (`--json`: the same as the API's), progress and troubles to stderr; what we foresaw ends with status 2.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from mudar.errors import BadRequest
from service.cli import bulk_import, evaluate, models
from service.cli.output import bar, plain_errors, show, table
from service.cli.points import seconds_in
from service.client import Client, Json
from service.settings import settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(models.app, name="models")
app.command()(evaluate.evaluate)
app.command("ingest")(bulk_import.run)

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's records, one JSON object a line.")]
Local = Annotated[bool, typer.Option("--local", help="Work in this process, without any server.")]
RhythmSourceOption = Annotated[
    str, typer.Option("--rhythm-from", help="A dance's strokes: from its own sound, its picture, or auto.")
]
Url = Annotated[str | None, typer.Option("--url", help="Where the service is; default: MUDAR_URL.")]
Model = Annotated[str | None, typer.Option("--model", help="name, name@alias or name@version.")]
KindOption = Annotated[str | None, typer.Option("--kind", help="dance or music; default: what the file looks like.")]

ITEM_COLUMNS = ["id", "kind", "duration_s", "tempo_bpm", "strokes", "segments", "model"]


def connect(url: str | None) -> Client:
    """The service that the commands talk to."""
    return Client(url or settings().url)


def finished(client: Client, accepted: Json, what: str) -> Json:
    """Wait for a job, with a bar."""
    with bar(what) as progress:
        return client.result(accepted["job_id"], lambda job: progress(job["progress"], job["stage"]))


@app.command()
@plain_errors
def up(port: Annotated[int | None, typer.Option(help="0 = any free one; default: MUDAR_PORT.")] = None) -> None:
    """API, worker and broker on this machine, until Ctrl-C; everything is kept under MUDAR_DATA_DIR."""
    from service.cli.up.supervisor import Supervisor

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    chosen = settings()
    chosen = chosen if port is None else chosen.model_copy(update={"port": port})
    Supervisor(chosen).run(lambda url: typer.echo(f"MuDaR is listening on {url} (Ctrl-C ends it)"))


@app.command()
@plain_errors
def embed(
    files: list[Path],
    kind: KindOption = None,
    title: str = "",
    label: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    local: Local = False,
    model: Model = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Put dances and pieces of music into the library (or, with --local, only look at them)."""
    if local:
        from service.cli import local as cli_local

        for path in files:
            with bar(path.name) as progress:
                record = cli_local.embedded(path, cli_local.analyse(path, kind, model, progress))
            show(record, as_json, table([record], ITEM_COLUMNS))
        return
    with connect(url) as client:
        for path in files:
            accepted = client.embed(_there(path), kind=kind, title=title, labels=label)
            result = finished(client, accepted, path.name)
            for item in result["items"]:
                show(item, as_json, table([item], ITEM_COLUMNS))


@app.command()
@plain_errors
def retrieve(
    item_id: Annotated[str, typer.Argument(metavar="ID")],
    k: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 10,
    lam: Annotated[float | None, typer.Option("--lambda", help="0 = rhythm only, 1 = embedding only.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only items that carry it; repeatable.")] = None,
    model: Model = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """What fits an item of the library: dances for music, music for a dance."""
    with connect(url) as client:
        kind = client.item(item_id)["kind"]
        answer = client.retrieve(item_id, kind, k=k, lam=lam, labels=label, model=model)
    columns = ["score", "embedding_score", "rhythm_score", "tempo_bpm", "start_s", "query_start_s", "id", "title"]
    show(answer, as_json, table(answer["results"], columns))


@app.command()
@plain_errors
def retarget(
    dance: Annotated[str, typer.Argument(help="A file, or an item's id.")],
    music: Annotated[str, typer.Argument(help="A file, or an item's id.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The video to write.")] = None,
    method: Annotated[str, typer.Option(help="dtw, acceleration, shift or paper_dtw.")] = "dtw",
    accent: Annotated[float | None, typer.Option(help="0 to 1.")] = None,
    min_speed: float | None = None,
    max_speed: float | None = None,
    interpolation: Annotated[str | None, typer.Option(help="nearest, blend or flow.")] = None,
    rhythm_from: RhythmSourceOption = "auto",
    dry_run: Annotated[bool, typer.Option(help="Plan and print, render nothing: needs --local.")] = False,
    on: Annotated[str | None, typer.Option(help="beats, onsets, downbeats or every_nth.")] = None,
    strokes: Annotated[
        Path | None, typer.Option(help="Of the dance, by hand: a text file, a time in seconds a line.")
    ] = None,
    beats: Annotated[Path | None, typer.Option(help="Of the music, by hand: the same.")] = None,
    export: Annotated[list[Path] | None, typer.Option(help="Map and markers: .csv .markers.csv .json .otio.")] = None,
    chart: Annotated[bool, typer.Option(help="Draw the report beside the video: OUT.report.png.")] = True,
    local: Local = False,
    model: Model = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Put a dance onto another song's beat."""
    if export:
        from mudar.retarget.report.export import format_of

        for path in export:
            format_of(path)  # a name that says no form fails before the work, not after it
    by_hand = seconds_in(strokes) if strokes else None, seconds_in(beats) if beats else None
    chosen: dict[str, Any] = {"method": method, "accent": accent, "min_speed": min_speed, "max_speed": max_speed}
    chosen |= {"interpolation": interpolation, "on": on, "rhythm_from": rhythm_from}
    if dry_run:
        _plan(Path(dance), Path(music), chosen, (model, local), by_hand, as_json)
        return
    if out is None:
        raise BadRequest("Say where to write the video.", hint="Add -o OUT.mp4, or --dry-run.")
    if local:
        from service.cli import local as cli_local

        with bar("retarget") as progress:
            result = cli_local.retarget(Path(dance), Path(music), out, chosen, model, progress, by_hand)
    else:
        with connect(url) as client:
            ids = (_item_id(client, dance, "dance"), _item_id(client, music, "music"))
            for item_id, name, points in zip(ids, ("times_s", "beats_s"), by_hand, strict=True):
                if points is not None:
                    client.edit_rhythm(item_id, **{name: points, "downbeats_s": []})
            result = finished(client, client.retarget(*ids, **chosen), "retarget")
            client.download(result["video_url"], out)
    _leave(result["report"], out, dance, music, export or [], chart)
    show(result, as_json, f"{out}: {result['duration_s']:.1f} s\n{_summary(result['report'])}")


@app.command()
@plain_errors
def rhythm(
    file: Path,
    kind: KindOption = None,
    rhythm_from: RhythmSourceOption = "auto",
    local: Local = False,
    model: Model = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """When the strokes of a dance, or the onsets of music, fall."""
    if local:
        from service.cli import local as cli_local

        with bar(file.name) as progress:
            record = cli_local.rhythm(cli_local.analyse(file, kind, model, progress), rhythm_from)
    else:
        with connect(url) as client:
            item_id = _item_id(client, str(file), kind)
            record = client.item(item_id, "rhythm")["rhythm"]
    points = " ".join(f"{time_s:.3f}" for time_s in record["times_s"])
    show(record, as_json, f"{record['tempo_bpm']:.1f} bpm, {len(record['times_s'])} points (seconds):\n{points}")


def _plan(
    dance: Path,
    music: Path,
    chosen: dict[str, Any],
    where: tuple[str | None, bool],
    by_hand: tuple[list[float] | None, list[float] | None],
    as_json: bool,
) -> None:
    """Print the time map of a retargeting, for other programs; nothing is rendered."""
    model, local = where
    if not local:
        raise BadRequest("A dry run on the command line works on files here.", hint="Add --local.")
    from service.cli import local as cli_local

    with bar("plan") as progress:
        record = cli_local.plan(dance, music, chosen, model, progress, by_hand)
    stretch = f"{record['duration_s']:.1f} s of the song, from {record['offset_s']:.2f} s on"
    show(record, as_json, f"{stretch}\n{_summary(record['report'])}")


def _leave(report: Json, out: Path, dance: str, music: str, exports: list[Path], chart: bool) -> None:
    """The report as a picture, and the map in the forms that the files' names ask for."""
    from mudar.retarget.report.chart import draw
    from mudar.retarget.report.export import export, format_of

    names = [str(Path(name).absolute()) if Path(name).is_file() else name for name in (dance, music)]
    for path in exports:
        path.write_text(export(report, format_of(path), *names))
    if chart:
        draw(report, out.with_suffix(".report.png"), title=f"{Path(dance).name} on {Path(music).name}")


def _item_id(client: Client, given: str, kind: str | None) -> str:
    """An item's id: what was given, or that of the file that it names."""
    path = Path(given)
    if not path.is_file() and given.split("-")[0] in ("dance", "music"):
        return given
    result = finished(client, client.embed(_there(path), kind=kind), path.name)
    return str(result["items"][0]["id"])


def _there(path: Path) -> Path:
    from mudar.errors import UnreadableMedia

    if not path.is_file():
        raise UnreadableMedia(f"There is no file {path}.", hint="Check the path.")
    return path


def _summary(report: Json) -> str:
    names = ("onsets_hit", "beat_alignment", "landing_error_ms", "speed")
    return "\n".join(f"  {name}: {report[name]}" for name in names if name in report)


def main() -> None:
    """Runs the command that the arguments name."""
    app()


if __name__ == "__main__":
    main()
