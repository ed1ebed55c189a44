"""`mudar models`: what is on the shelf, and which of it is served."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help=__doc__)
