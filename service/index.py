"""The search indexes of the models in use, made at first use; each follows the library in a thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path

from mudar.library.db import Database
from mudar.library.follow import IndexFollower
from service.shelf import ServedModel


class Indexes:
    """One follower a model; vectors of two models never meet."""

    def __init__(self, database: Database, folder: Path, poll_s: float, save_every_s: float, exact_rows: int) -> None:
        self._database, self._folder = database, folder
        self._poll_s, self._save_every_s, self._exact_rows = poll_s, save_every_s, exact_rows
        self._followers: dict[str, IndexFollower] = {}
        self._lock = threading.Lock()

    def of(self, model: ServedModel) -> IndexFollower:
        """The model's follower; the first call loads or builds its indexes."""
        with self._lock:
            if model.id not in self._followers:
                follower = IndexFollower(
                    self._database,
                    model.id,
                    model.embed_dim,
                    model.rhythm_dim,
                    self._folder,
                    poll_s=self._poll_s,
                    save_every_s=self._save_every_s,
                    exact_rows=self._exact_rows,
                )
                follower.start()
                self._followers[model.id] = follower
            return self._followers[model.id]

    def sizes(self) -> dict[tuple[str, str], int]:
        """Segments by model and kind."""
        return {
            (model, kind): len(follower.index(kind))
            for model, follower in list(self._followers.items())
            for kind in ("dance", "music")
        }

    def stop(self) -> None:
        """Stop following, and leave snapshots behind."""
        with self._lock:
            for follower in self._followers.values():
                follower.stop()
            self._followers.clear()
