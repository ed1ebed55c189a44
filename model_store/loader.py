"""Loads models by name from the roots of the registry, and saves new versions there. Imports torch."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import safetensors.torch

from model_store.registry import Registry
from mudar.atomic_write import write_atomically
from mudar.errors import ModelError
from mudar.model import checkpoint
from mudar.model.checkpoint import CARD_FILE, WEIGHTS_FILE, Card, LoadedModel
from mudar.model.mudar import Mudar

SHIPPED = Path(__file__).resolve().parent / "checkpoints"
FLOW_FILE = "pwcnet.safetensors"  # PWC-Net's own weights, which the user brings: <root>/pwcnet.safetensors


def load(name: str, roots: Sequence[str | Path], device: str = "cpu") -> LoadedModel:
    """Loads the model that `name` means. Raises UnknownModel, and what `mudar.load` raises of its folder."""
    registry = Registry(roots)
    return checkpoint.load(registry.resolve(name), device, flow_weights(registry.roots))


def load_served(name: str = "mudar-small@served", device: str = "cpu") -> LoadedModel:
    """Loads a model that came with the package, for use without a server. Raises as `load` does."""
    return load(name, [SHIPPED], device)


def save_checkpoint(root: str | Path, model: Mudar, card: Card) -> Path:
    """Writes <root>/<name>/<version>/, whole or not at all, with the weights' sha256 in the card; returns the folder.

    The card's spec and config are the model's own. ModelError when the version is there already.
    """
    target = Path(root) / card.name / card.version
    if target.exists():
        raise ModelError(f"{card.id} is on the shelf already.", hint="Give the new one a new version.")
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    content = safetensors.torch.save(state)
    full = dataclasses.replace(
        card,
        spec=model.spec,
        model=model.config,
        sha256=hashlib.sha256(content).hexdigest(),
        created=card.created or datetime.now(UTC).isoformat(timespec="seconds"),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unfinished-"))
    try:
        write_atomically(unfinished / WEIGHTS_FILE, content)
        write_atomically(unfinished / CARD_FILE, full.to_toml().encode())
        unfinished.chmod(0o755)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return target


def flow_weights(roots: Sequence[str | Path]) -> Path | None:
    """Finds PWC-Net's weights in the roots; None where nobody brought any."""
    return next((path for root in roots if (path := Path(root) / FLOW_FILE).is_file()), None)
