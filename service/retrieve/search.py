"""Searches with items of the library, many requests in one go. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mudar.errors import MudarError
from mudar.index.types import SearchRequest
from mudar.library.analyses import EmbeddedItem, embedded_items
from mudar.library.db import Database
from mudar.library.search.search import Filters, SearchResult, other_kind, search_many, stack_segments
from mudar.records import Kind
from service.models.catalog import ModelCatalog, ModelInfo
from service.retrieve.indexes import Indexes
from service.retrieve.schemas import RetrieveRequest, SearchQuery, SearchResults

Answer = SearchResults | Exception


@dataclass(frozen=True)
class Search:
    """Answers requests from database, models and indexes."""

    database: Database
    catalog: ModelCatalog
    indexes: Indexes

    def one(self, request: RetrieveRequest) -> SearchResults:
        """The items that fit a stored one. UnknownItem, WrongKind, NotReady, NoIndex, EmptyLibrary, OutOfRange."""
        (answer,) = self.many([request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def many(self, requests: Sequence[RetrieveRequest]) -> list[Answer]:
        """`one` for each; those of one model and kind share a pass over the index. An error in the place of results."""
        answers: dict[int, Answer] = {}
        groups: dict[tuple[ModelInfo, Kind], dict[int, RetrieveRequest]] = {}
        for number, request in enumerate(requests):
            try:
                groups.setdefault((self.catalog.resolve(request.model), request.kind), {})[number] = request
            except MudarError as error:
                answers[number] = error
        for (model, kind), group in groups.items():
            answers |= self._search_group(model, kind, group)
        return [answers[number] for number in range(len(requests))]

    def _search_group(self, model: ModelInfo, kind: Kind, group: Mapping[int, RetrieveRequest]) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        queries: dict[int, tuple[EmbeddedItem, SearchRequest]] = {}
        with self.database.read() as session:
            items = embedded_items(session, [request.item_id for request in group.values()], kind, model.id)
            for (number, request), item in zip(group.items(), items, strict=True):
                if isinstance(item, MudarError):
                    answers[number] = item
                    continue
                allow = _filters(request).allowed(session, other_kind(kind), model.id) if request.is_filtered else None
                queries[number] = (
                    item,
                    SearchRequest(
                        **stack_segments(item.segments),
                        lam=_weight(request, model),
                        k=request.offset + request.k,
                        exclude=request.exclude,
                        allow=allow,
                    ),
                )
        if queries:
            backend, searches = self.indexes.of(model), [search for _, search in queries.values()]
            results = search_many(self.database, backend, other_kind(kind), searches)
            for (number, (item, _)), ranked in zip(queries.items(), results, strict=True):
                answers[number] = (
                    ranked if isinstance(ranked, MudarError) else _page(group[number], item, model, ranked)
                )
        return answers


def _filters(request: RetrieveRequest) -> Filters:
    tempo_bpm = request.min_tempo_bpm, request.max_tempo_bpm
    return Filters(request.label, tempo_bpm, (request.min_duration_s, request.max_duration_s))


def _weight(request: RetrieveRequest, model: ModelInfo) -> float:
    return model.lambda_default if request.lam is None else request.lam


def _page(
    request: RetrieveRequest, item: EmbeddedItem, model: ModelInfo, ranked: Sequence[SearchResult]
) -> SearchResults:
    results = list(ranked[request.offset :])
    query = SearchQuery(
        id=request.item_id,
        kind=request.kind,
        tempo_bpm=item.tempo_bpm,
        offset=request.offset,
        next_offset=request.offset + request.k if len(results) == request.k else None,
        k=request.k,
        lam=_weight(request, model),
        label=request.label,
        model=model.id,
    )
    if not results:
        nothing = f"No {other_kind(request.kind)} passes the filters."
        query.note = nothing if not request.offset else "There are no more."
    return SearchResults(query=query, results=results)
