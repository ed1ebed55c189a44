"""The port behind which a retrieval is answered: something that holds a model's segments and follows the library.

Adapters: follow.py (FAISS, in this process) and follow_milvus.py (an engine that several processes share). Both rank
items by their best pair of segments and score it as (21) does, to 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mudar.index.results import SearchHit
from mudar.index.types import SearchRequest
from mudar.records import Kind


class SearchableIndex(Protocol):
    """The segments of one model and kind."""

    def __len__(self) -> int: ...

    def search_many(self, requests: Sequence[SearchRequest]) -> Sequence[Sequence[SearchHit]]:
        """Answers each request with its k best items, best first."""
        ...


class SearchBackend(Protocol):
    """Both kinds of one model, kept equal to the database."""

    @property
    def model(self) -> str: ...

    def start(self) -> None:
        """Be ready soon, and follow."""
        ...

    def stop(self) -> None:
        """Stop following."""
        ...

    def open(self) -> None:
        """Be ready now."""
        ...

    def catch_up(self) -> int:
        """Apply what was committed since; after it, searches see all of that."""
        ...

    def index(self, kind: Kind) -> SearchableIndex:
        """What is searched; asked for anew each time."""
        ...
