"""Finds checkpoints by name: which there are, and which of them an alias means today. Imports no torch.

    <root>/<name>/<version>/{model.safetensors, card.toml}      a checkpoint, never changed once written
    <root>/aliases.toml                                         [name.alias] version, previous = [...]

The first root is written to (MUDAR_DATA_DIR/models); the others, such as the store in this package, are read. An
alias set in an earlier root hides the same alias of a later one. Knows no weights and no settings.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from mudar.atomic_write import write_atomically
from mudar.errors import CardInvalid, UnknownModel
from mudar.model.checkpoint import CARD_FILE, Card, is_word, read_card

ALIASES_FILE = "aliases.toml"
SERVED = "served"  # the alias that a bare name stands for


@dataclass(frozen=True)
class Alias:
    """The version that an alias means, and those it meant before, the latest last."""

    version: str
    previous: tuple[str, ...] = ()


class Registry:
    """Asks the disk each time: a promotion by one process holds for all."""

    def __init__(self, roots: Sequence[str | Path]) -> None:
        self.roots = [Path(root) for root in roots]

    def resolve(self, name: str) -> Path:
        """The folder of `name@version`, `name@alias`, or `name` (its served version, else its newest). UnknownModel."""
        model, _, tag = name.partition("@")
        if not is_word(model) or (tag and not is_word(tag)) or ("@" in name and not tag):
            raise UnknownModel(f"{name!r} names no model.")
        known = self.versions(model)
        aliases = self.aliases(model)
        key = tag or (SERVED if SERVED in aliases else next(iter(known), ""))
        version = key if key in known else aliases[key].version if key in aliases else ""
        if version not in known:
            raise UnknownModel(f"There is no model {name}.")
        return known[version]

    def card(self, name: str) -> Card:
        """The card of what `name` means. UnknownModel, CardInvalid."""
        folder = self.resolve(name)
        card = read_card(folder)
        if (card.name, card.version) != (folder.parent.name, folder.name):
            raise CardInvalid(f"The card in {folder} speaks of {card.id}.")
        return card

    def names(self) -> list[str]:
        """The models that have a checkpoint, in order."""
        names = {folder.parent.parent.name for root in self.roots for folder in root.glob(f"*/*/{CARD_FILE}")}
        return sorted(name for name in names if is_word(name))

    def versions(self, name: str) -> dict[str, Path]:
        """Version to folder, the newest version first; of the same version in two roots, the first root's."""
        folders: dict[str, Path] = {}
        for root in self.roots:
            for card in (root / name).glob(f"*/{CARD_FILE}"):
                if is_word(card.parent.name):
                    folders.setdefault(card.parent.name, card.parent)
        return dict(sorted(folders.items(), key=lambda item: _age(item[0]), reverse=True))

    def aliases(self, name: str) -> dict[str, Alias]:
        """Alias to what it means."""
        aliases: dict[str, Alias] = {}
        for root in reversed(self.roots):
            for alias, entry in _read(root).get(name, {}).items():
                aliases[alias] = Alias(str(entry["version"]), tuple(entry.get("previous", ())))
        return aliases

    def cards(self) -> list[Card]:
        """Every checkpoint whose card can be read, by name, the newest version first."""
        cards = []
        for name in self.names():
            for version in self.versions(name):
                with contextlib.suppress(CardInvalid):
                    cards.append(self.card(f"{name}@{version}"))
        return cards

    def promote(self, name: str, version: str, alias: str = SERVED) -> Alias:
        """Let `name@alias` mean this version from now on. UnknownModel; CardInvalid when its card cannot be read."""
        if not is_word(alias):
            raise UnknownModel(f"{alias!r} cannot be an alias.")
        if version not in self.versions(name):
            raise UnknownModel(f"There is no model {name}@{version}.")
        self.card(f"{name}@{version}")
        with self._locked():
            before = self.aliases(name).get(alias)
            if before is not None and before.version == version:
                return before
            previous = () if before is None else (*before.previous, before.version)
            return self._write(name, alias, Alias(version, previous))

    def rollback(self, name: str, alias: str = SERVED) -> Alias:
        """Let `name@alias` mean what it meant before its last promotion. UnknownModel when there was nothing before."""
        with self._locked():
            now = self.aliases(name).get(alias)
            if now is None or not now.previous:
                raise UnknownModel(f"{name}@{alias} has never meant another version.")
            return self._write(name, alias, Alias(now.previous[-1], now.previous[:-1]))

    def _write(self, name: str, alias: str, meant: Alias) -> Alias:
        aliases = _read(self.roots[0])
        aliases.setdefault(name, {})[alias] = {"version": meant.version, "previous": list(meant.previous)}
        write_atomically(self.roots[0] / ALIASES_FILE, tomli_w.dumps(aliases).encode())
        return meant

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One promotion at a time, among all processes of this machine."""
        self.roots[0].mkdir(parents=True, exist_ok=True)
        with (self.roots[0] / ".aliases.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _read(root: Path) -> dict[str, Any]:
    path = root / ALIASES_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardInvalid(f"{path} cannot be read: {error}.") from error


def _age(version: str) -> list[tuple[int, int | str]]:
    """Sorts 0.10.0 after 0.9.1, and 1.0.0 after 1.0.0-rc1: what ends sooner is a release, and later."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return [*((1, int(part)) if part.isdigit() else (-1, part) for part in parts), (0, 0)]
