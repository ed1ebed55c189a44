"""Defines what a search may be asked for, and its answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mudar.library.items import MAX_LABELS
from mudar.library.search.search import SearchResult
from mudar.records import Kind

Bound = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


class SearchOptions(BaseModel):
    """Says how many items are wanted, and by which measure."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=100)
    lam: float | None = Field(None, alias="lambda", ge=0, le=1, allow_inf_nan=False)
    label: list[str] = Field([], max_length=MAX_LABELS)
    model: str | None = None


class RetrieveRequest(SearchOptions):
    """Says what to search with, and which items may be found."""

    music_id: str | None = None
    dance_id: str | None = None
    exclude: list[str] = Field([], description="Ids of items that must not be found.")
    min_tempo_bpm: Bound = None
    max_tempo_bpm: Bound = None
    min_duration_s: Bound = None
    max_duration_s: Bound = None
    offset: int = Field(0, ge=0, le=900, description="How many better ones to leave out: paging.")

    @property
    def kind(self) -> Kind:
        """What is searched with."""
        return "dance" if self.music_id is None else "music"

    @property
    def item_id(self) -> str:
        """The item that is searched with."""
        return str(self.dance_id if self.music_id is None else self.music_id)

    @property
    def is_filtered(self) -> bool:
        """Whether not every item may be found."""
        ranges = (self.min_tempo_bpm, self.max_tempo_bpm, self.min_duration_s, self.max_duration_s)
        return bool(self.label or self.exclude) or ranges != (None,) * 4


class SearchQuery(BaseModel):
    """Repeats what was searched for, with the values that were used."""

    id: str
    kind: Kind
    tempo_bpm: float
    offset: int
    next_offset: int | None = Field(description="The next page's offset; null on the last.")
    note: str | None = Field(default=None, description="Why there are no results.")
    k: int
    lam: float = Field(serialization_alias="lambda")
    label: list[str]
    model: str


class SearchResults(BaseModel):
    """The items that fit, best first."""

    query: SearchQuery
    results: list[SearchResult]
