"""Card: what is known of a checkpoint, as card.toml beside its weights. Light: no torch.

Says what the network is fed (FeatureSpec) and what it is (ModelConfig), so that serving runs what training ran; which
data made it; and how good it is, each figure beside its chance level. Knows no weights but their sha256.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from mudar.errors import CardInvalid
from mudar.model.config import ModelConfig
from mudar.spec import FeatureSpec

CARD_FILE = "card.toml"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True)
class Card:
    """One checkpoint. created: ISO 8601. metrics: nested names to numbers. lambda_default: of (21), in 0..1."""

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
        """name@version."""
        return f"{self.name}@{self.version}"

    def to_toml(self) -> str:
        """The text of card.toml."""
        words = ("name", "version", "sha256", "created", "commit", "licence", "data", "lambda_default")
        about = {word: getattr(self, word) for word in words}
        tables = {"metrics": dict(self.metrics), "features": self.spec.to_dict(), "model": self.model.to_dict()}
        return tomli_w.dumps({**about, **tables}, multiline_strings=True)

    @classmethod
    def from_toml(cls, text: str) -> Card:
        """The inverse of `to_toml`. CardInvalid, with the reason, for anything else."""
        try:
            read = tomllib.loads(text)
            spec, model = FeatureSpec.from_dict(read.pop("features")), ModelConfig.from_dict(read.pop("model"))
            return cls(spec=spec, model=model, **read)
        except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
            raise CardInvalid(f"The card cannot be read: {error}.") from error


def read_card(folder: Path) -> Card:
    """The card of a checkpoint's folder. CardInvalid."""
    path = folder / CARD_FILE
    try:
        return Card.from_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CardInvalid(f"{path} cannot be read: {error}.") from error


def is_word(text: str) -> bool:
    """Whether `text` may name a model, a version or an alias: it becomes a path, so no separators, no dot first."""
    return _WORD.fullmatch(text) is not None
