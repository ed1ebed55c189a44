"""From the shelf into memory: weights checked against their card, then into the network that the card describes.

safetensors only, never pickle: a checkpoint cannot run code. The one file of the shelf that imports torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError

from model_store.card import CARD_FILE, Card
from model_store.registry import Registry
from mudar.atomic_write import write_atomically
from mudar.errors import CardInvalid, ChecksumMismatch, ModelError
from mudar.model.mudar import Mudar, build
from mudar.spec import FeatureSpec

WEIGHTS_FILE = "model.safetensors"
SHIPPED = Path(__file__).resolve().parent / "checkpoints"
FLOW_FILE = "pwcnet.safetensors"  # PWC-Net's own weights, which the user brings: <root>/pwcnet.safetensors


@dataclass(frozen=True)
class LoadedModel:
    """A network in evaluation mode, and what it is fed. flow_weights: PWC-Net's, where the spec wants them."""

    card: Card
    model: Mudar
    spec: FeatureSpec
    flow_weights: Path | None = None

    @property
    def name(self) -> str:
        """name@version: what its vectors are stored under."""
        return self.card.id


def load(name: str, roots: Sequence[str | Path], device: str = "cpu") -> LoadedModel:
    """The model that `name` means. UnknownModel, CardInvalid, ChecksumMismatch; ModelError without its flow weights."""
    registry = Registry(roots)
    card = registry.card(name)
    model = load_weights(registry.resolve(card.id), card).to(device).eval()
    weights = None if card.spec.video.flow == "dis" else _flow_weights(registry, card)
    return LoadedModel(card, model, card.spec, weights)


def load_served(name: str = "mudar-small@served", device: str = "cpu") -> LoadedModel:
    """A model that came with the package, for use without a server. Errors as for `load`."""
    return load(name, [SHIPPED], device)


def load_weights(folder: Path, card: Card) -> Mudar:
    """The network of this checkpoint, on the CPU. ChecksumMismatch, CardInvalid."""
    try:
        content = (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise CardInvalid(f"The weights of {card.id} cannot be read: {error}.") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.sha256:
        raise ChecksumMismatch(
            f"The weights of {card.id} have sha256 {sha256[:12]}…, its card says {card.sha256[:12]}…."
        )
    try:
        model = build(card.model, card.spec)
        model.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise CardInvalid(f"The weights of {card.id} do not fit its card: {error}.") from error
    return model


def save_checkpoint(root: str | Path, model: Mudar, card: Card) -> Path:
    """Write <root>/<name>/<version>/, whole or not at all, with the weights' sha256 in the card; returns the folder.

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
    """PWC-Net's weights on this shelf, None where nobody brought any."""
    return next((path for root in roots if (path := Path(root) / FLOW_FILE).is_file()), None)


def _flow_weights(registry: Registry, card: Card) -> Path:
    path = flow_weights(registry.roots)
    if path is not None:
        return path
    raise ModelError(
        f"{card.id} sees motion with PWC-Net, and its weights are not here.",
        hint="Bring the public checkpoint: mudar models import-pwcnet FILE.",
    )
