"""What the command line shows: records on stdout, progress and troubles on stderr."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from mudar.errors import MudarError

P = ParamSpec("P")
R = TypeVar("R")
FAILED = 2  # the exit status of every error that we foresaw


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Our errors become one clear line, a hint, and exit status 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MudarError as error:
            typer.echo(f"mudar: {error.detail} [{error.code}]", err=True)
            if error.hint:
                typer.echo(f"  {error.hint}", err=True)
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error

    return wrapped


def show(record: Any, as_json: bool, text: str) -> None:
    """The record as one line of JSON, or the text for people."""
    typer.echo(json.dumps(record) if as_json else text)


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as aligned columns, numbers shortened."""
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10 else f"{value:.1f}"
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


@contextmanager
def bar(what: str) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on stderr while the block runs, if a person is there to see it."""
    stage = TextColumn("{task.fields[stage]}")
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), stage)
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=1.0, stage="")
        yield lambda fraction, stage: progress.update(task, completed=fraction, stage=stage)
