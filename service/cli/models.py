"""Shows which checkpoints this machine has and which of them is served (`mudar models`), and changes that."""

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


def open_catalog() -> ModelCatalog:
    """The checkpoints where the settings say."""
    chosen = settings()
    return ModelCatalog(chosen.model_roots, chosen.model_name)


@app.command("list")
@plain_errors
def list_models(as_json: AsJson = False) -> None:
    """List every checkpoint here."""
    records = [model.model_dump() for model in open_catalog().list_models()]
    if as_json:
        for record in records:
            show(record, True, "")
        return
    typer.echo(table(records, ["id", "served", "aliases", "created", "licence"]))


@app.command("show")
@plain_errors
def show_model(name: Name, as_json: AsJson = False) -> None:
    """One checkpoint: what its card says, scores beside their chance levels."""
    catalog = open_catalog()
    card = catalog.registry.card(name)
    record = describe(catalog.registry, card, catalog.registry.card(card.name).id).model_dump()
    show(record, as_json, card.to_toml() if not as_json else "")


@app.command()
@plain_errors
def promote(name: Name, alias: str = "served", as_json: AsJson = False) -> None:
    """Let name@ALIAS mean this version from now on: `mudar models promote mudar-small@0.2.0`."""
    catalog = open_catalog()
    card = catalog.registry.card(name)
    _show_alias(card.name, alias, catalog.registry.promote(card.name, card.version, alias), as_json)


@app.command()
@plain_errors
def rollback(name: Annotated[str, typer.Argument(help="name")], alias: str = "served", as_json: AsJson = False) -> None:
    """Let name@ALIAS mean what it meant before."""
    model = name.partition("@")[0]
    _show_alias(model, alias, open_catalog().registry.rollback(model, alias), as_json)


@app.command("import-pwcnet")
@plain_errors
def import_pwcnet(file: Path) -> None:
    """Take the weights of PWC-Net for the models that need them.

    FILE is the public checkpoint that you brought (non-commercial; not included), or the .safetensors that
    `python -m training.flow.train` left.
    """
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


def _show_alias(name: str, alias: str, meant: Alias, as_json: bool) -> None:
    record: dict[str, Any] = {"name": name, "alias": alias, "version": meant.version, "previous": list(meant.previous)}
    typer.echo(json.dumps(record) if as_json else f"{name}@{alias} is {meant.version}")
