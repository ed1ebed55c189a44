"""Reads checkpoints: a folder of card.toml and model.safetensors, whose sha256 the card holds.

The card says what the network is fed (FeatureSpec) and what it is (ModelConfig), so that serving runs what training
ran; which data made it; and how good it is, each figure beside its chance level. safetensors only, never pickle: a
checkpoint cannot run code. torch is imported when weights are loaded, and not for a card.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from mudar.errors import CardInvalid, ChecksumMismatch, ModelError
from mudar.model.config import ModelConfig
from mudar.spec import FeatureSpec

if TYPE_CHECKING:
    from mudar.model.mudar import Mudar

CARD_FILE, WEIGHTS_FILE = "card.toml", "model.safetensors"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True)
class Card:
    """Describes one checkpoint. created: ISO 8601. metrics: nested names to numbers. lambda_default: of (21)."""

    name: str
    version: str
    spec: FeatureSpec
    model: ModelConfig
    sha256: str = ""  # of model.safetensors; filled in when it is saved
    created: str = ""
    commit: str = ""
    licence: str = ""
    data: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    lambda_default: float = 0.5

    def __post_init__(self) -> None:
        """Refuse, with CardInvalid, names that cannot be folders, and a λ outside 0..1."""
        for word in (self.name, self.version):
            if not is_word(word):
                raise CardInvalid(f"{word!r} cannot name a model or its version.")
        if not 0 <= self.lambda_default <= 1:
            raise CardInvalid(f"lambda_default is {self.lambda_default}, and must lie in 0..1.")

    @property
    def id(self) -> str:
        """Returns name@version."""
        return f"{self.name}@{self.version}"

    def to_toml(self) -> str:
        """Returns the text of card.toml."""
        words = ("name", "version", "sha256", "created", "commit", "licence", "data", "lambda_default")
        about = {word: getattr(self, word) for word in words}
        tables = {"metrics": dict(self.metrics), "features": self.spec.to_dict(), "model": self.model.to_dict()}
        return tomli_w.dumps({**about, **tables}, multiline_strings=True)

    @classmethod
    def from_toml(cls, text: str) -> Card:
        """Parses the text of card.toml. Raises CardInvalid, with the reason."""
        try:
            read = tomllib.loads(text)
            spec, model = FeatureSpec.from_dict(read.pop("features")), ModelConfig.from_dict(read.pop("model"))
            return cls(spec=spec, model=model, **read)
        except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
            raise CardInvalid(f"The card cannot be read: {error}.") from error


@dataclass(frozen=True)
class LoadedModel:
    """Holds a network in evaluation mode, its card, and PWC-Net's weights where its spec wants them."""

    card: Card
    model: Mudar
    flow_weights: Path | None = None

    @property
    def spec(self) -> FeatureSpec:
        """Returns what the network is fed."""
        return self.card.spec

    @property
    def name(self) -> str:
        """Returns name@version, what its vectors are stored under."""
        return self.card.id


def load(folder: str | Path, device: str = "cpu", flow_weights: Path | None = None) -> LoadedModel:
    """Loads the checkpoint in this folder. Raises CardInvalid, ChecksumMismatch; ModelError without its flow weights.

    flow_weights: PWC-Net's, needed where the card's spec names it.

    >>> load("model_store/checkpoints/mudar-small/0.5.0").name
    'mudar-small@0.5.0'
    """
    card = read_card(Path(folder))
    model = load_weights(Path(folder), card).to(device).eval()
    if card.spec.video.flow == "dis":
        return LoadedModel(card, model)
    if flow_weights is None:
        raise ModelError(
            f"{card.id} sees motion with PWC-Net, and its weights are not here.",
            hint="Bring the public checkpoint: mudar models import-pwcnet FILE.",
        )
    return LoadedModel(card, model, flow_weights)


def load_weights(folder: Path, card: Card) -> Mudar:
    """Loads the network of this checkpoint on the CPU. Raises ChecksumMismatch, CardInvalid."""
    import safetensors.torch  # imports torch

    from mudar.model.mudar import build

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
    except (safetensors.SafetensorError, RuntimeError, ValueError) as error:
        raise CardInvalid(f"The weights of {card.id} do not fit its card: {error}.") from error
    return model


def read_card(folder: Path) -> Card:
    """Reads the card of a checkpoint's folder. Raises CardInvalid."""
    path = folder / CARD_FILE
    try:
        return Card.from_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CardInvalid(f"{path} cannot be read: {error}.") from error


def is_word(text: str) -> bool:
    """Returns whether `text` may name a model, a version or an alias: it becomes a path, so no separators."""
    return _WORD.fullmatch(text) is not None
