"""Embeds a library of thousands of clips (`mudar ingest FOLDER`), and says what goes on and what failed."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mudar.errors import BadRequest
from service.cli import importer
from service.cli.importer import Outcome
from service.cli.output import bar, plain_errors
from service.client import Client
from service.settings import settings

INTERRUPTED = 130
SOME_FAILED = 1  # the exit status when the run ended and some files could not be used
MAX_PARALLEL = 64
_SHOWN_OF_EACH = 10


@plain_errors
def run(
    folder: Path,
    table: Annotated[Path | None, typer.Option(help="CSV with file (below the folder), title, labels, ...")] = None,
    kind: Annotated[str | None, typer.Option(help="dance, music or both; default: what each file looks like.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="For every file; repeatable.")] = None,
    parallel: Annotated[int, typer.Option(help="Files on their way at once.")] = 4,
    url: Annotated[str | None, typer.Option("--url", help="Where the service is; default: MUDAR_URL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file, then the summary.")] = False,
) -> None:
    """Put every clip of a folder into the library; run it again to go on where it was ended. Exit 1: some failed."""
    if not 1 <= parallel <= MAX_PARALLEL:
        raise BadRequest(f"parallel is {parallel}; it must lie in 1..{MAX_PARALLEL}.")
    files = (
        importer.in_table(folder, table, kind, label or ()) if table else importer.in_folder(folder, kind, label or ())
    )
    if not files:
        raise BadRequest(f"There is no video and no music in {folder}.", hint="Files are known by their endings.")
    outcomes: list[Outcome] = []
    with Client(url or settings().url) as client:
        going = importer.BulkImport(client, parallel)
        with _interrupted_by(going.stop) as interrupted:
            _follow(going, files, outcomes, as_json)
    _summary(len(files), outcomes, as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if any(outcome.outcome == "failed" for outcome in outcomes):
        raise typer.Exit(SOME_FAILED)


@contextmanager
def _interrupted_by(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Ctrl-C calls `stop` and is noted in the list; a second one ends the process at once."""
    noted: list[int] = []

    def heard(number: int, frame: object) -> None:
        noted.append(number)
        signal.signal(signal.SIGINT, before)
        stop()

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(
    going: importer.BulkImport, files: list[importer.ImportEntry], outcomes: list[Outcome], as_json: bool
) -> None:
    with bar("ingest") as progress:
        for outcome in going.run(files):
            outcomes.append(outcome)
            failed = sum(o.outcome == "failed" for o in outcomes)
            progress(len(outcomes) / len(files), f"{len(outcomes)} of {len(files)}, {failed} failed")
            if as_json:
                typer.echo(json.dumps(outcome.record()))


def _summary(count: int, outcomes: list[Outcome], as_json: bool) -> None:
    counts: Counter[str] = Counter(outcome.outcome for outcome in outcomes)
    if as_json:
        names = ("added", "known", "duplicate", "failed")
        typer.echo(json.dumps({"summary": {"files": count, **{name: counts[name] for name in names}}}))
        return
    left = f", {count - len(outcomes)} not looked at" if len(outcomes) < count else ""
    typer.echo(
        f"{count} files: {counts['added']} added, {counts['known']} there before, {counts['duplicate']} the same as "
        f"another, {counts['failed']} failed{left}"
    )
    for code, failed in sorted(_by_code(outcomes).items()):
        typer.echo(f"{len(failed)} x {code}: {(failed[0].error or {})['hint']}", err=True)
        for outcome in failed[:_SHOWN_OF_EACH]:
            typer.echo(f"  {outcome.file}: {(outcome.error or {})['detail']}", err=True)
        if len(failed) > _SHOWN_OF_EACH:
            typer.echo(f"  ... and {len(failed) - _SHOWN_OF_EACH} more (--json names all)", err=True)


def _by_code(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    by_code: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            by_code.setdefault(outcome.error["code"], []).append(outcome)
    return by_code
