"""`mudar models`: what is on the shelf of this machine, which of it is served, and how that changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from model_store.registry import Alias
from service.cli.output import plain_errors, show, table
from service.models.catalog import ModelCatalog, describe
from service.settings import settings

app = typer.Typer(no_args_is_help=True, help="Models: list, show, promote, roll back, bring PWC-Net's weights.")

AsJson = Annotated[bool, typer.Option("--json", help="Print records, as GET /models gives them.")]
Name = Annotated[str, typer.Argument(help="name, name@alias or name@version")]


def shelf() -> ModelCatalog:
    """The shelf that the settings name."""
    told = settings()
    return ModelCatalog(told.model_roots, told.model_name)


@app.command("list")
@plain_errors
def list_models(as_json: AsJson = False) -> None:
    """Every checkpoint here."""
    listed = shelf().listed()
    if as_json:
        for record in listed:
            show(record, True, "")
        return
    typer.echo(table(listed, ["id", "served", "aliases", "created", "licence"]))


@app.command("show")
@plain_errors
def show_model(name: Name, as_json: AsJson = False) -> None:
    """One checkpoint: what its card says, scores beside their chance levels."""
    on = shelf()
    card = on.registry.card(name)
    record = describe(on.registry, card, on.registry.card(card.name).id)
    show(record, as_json, card.to_toml() if not as_json else "")


@app.command()
@plain_errors
def promote(name: Name, alias: str = "served", as_json: AsJson = False) -> None:
    """Let name@ALIAS mean this version from now on: `mudar models promote mudar-small@0.2.0`."""
    on = shelf()
    card = on.registry.card(name)
    _told(card.name, alias, on.registry.promote(card.name, card.version, alias), as_json)


@app.command()
@plain_errors
def rollback(name: Annotated[str, typer.Argument(help="name")], alias: str = "served", as_json: AsJson = False) -> None:
    """Let name@ALIAS mean what it meant before."""
    model = name.partition("@")[0]
    _told(model, alias, shelf().registry.rollback(model, alias), as_json)


@app.command("import-pwcnet")
@plain_errors
def import_pwcnet(file: Path) -> None:
    """Take PWC-Net's weights for models that need them: the public checkpoint that you brought (non-commercial; not
    included), or the .safetensors that `python -m training.flow.train` left."""
    import safetensors.torch

    from model_store.loader import FLOW_FILE
    from mudar.atomic_write import write_atomically
    from mudar.errors import ModelError
    from mudar.model.pwcnet import read_weights

    if not file.is_file():
        raise ModelError(f"There is no file {file}.", hint="Give the path of the checkpoint.")
    target = settings().model_roots[0] / FLOW_FILE
    write_atomically(target, safetensors.torch.save(read_weights(file)))
    typer.echo(f"{target}")


def _told(name: str, alias: str, meant: Alias, as_json: bool) -> None:
    record: dict[str, Any] = {"name": name, "alias": alias, "version": meant.version, "previous": list(meant.previous)}
    typer.echo(json.dumps(record) if as_json else f"{name}@{alias} is {meant.version}")
