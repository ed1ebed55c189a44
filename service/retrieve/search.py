"""What fits an item of the library: the items of the other kind, ranked. Many questions in one go. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mudar.errors import MudarError
from mudar.library import analyses
from mudar.library.analyses import Asking
from mudar.library.db import Database
from mudar.library.search.search import ANY, Filters, Question, other_kind, search_many
from mudar.records import Kind
from service.models.catalog import ModelCatalog, ModelInfo
from service.retrieve.indexes import Indexes


@dataclass(frozen=True)
class Asked:
    """How to search; `lam` None = the model's own default."""

    k: int
    lam: float | None
    model: str | None
    filters: Filters = ANY  # of stored items only: a file is searched with by k, lambda and label
    offset: int = 0

    def weight(self, model: ModelInfo) -> float:
        """λ."""
        return model.lambda_default if self.lam is None else self.lam

    def echo(self, model: ModelInfo) -> dict[str, Any]:
        """What an answer says of its question."""
        return {"k": self.k, "lambda": self.weight(model), "label": self.filters.labels, "model": model.id}


@dataclass(frozen=True)
class Wanted:
    """What fits a stored item."""

    item_id: str
    kind: Kind
    asked: Asked


@dataclass(frozen=True)
class Search:
    """Where items, models and indexes are."""

    database: Database
    shelf: ModelCatalog
    indexes: Indexes

    def by_item(self, one: Wanted) -> dict[str, Any]:
        """The ranked items for a stored one. UnknownItem, WrongKind, NotReady, NoIndex, EmptyLibrary, OutOfRange."""
        (answer,) = self.by_items([one])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def by_items(self, every: Sequence[Wanted]) -> list[dict[str, Any] | Exception]:
        """`by_item` for each, in one pass over the index; an error in the place of an answer."""
        answers: dict[int, dict[str, Any] | Exception] = {}
        alike: dict[ModelInfo, dict[int, Wanted]] = {}
        for place, one in enumerate(every):
            try:
                alike.setdefault(self.shelf.resolve(one.asked.model), {})[place] = one
            except MudarError as error:
                answers[place] = error
        for model, some in alike.items():
            answers |= self._of_one_model(model, some)
        return [answers[place] for place in range(len(every))]

    def _of_one_model(self, model: ModelInfo, every: Mapping[int, Wanted]) -> dict[int, dict[str, Any] | Exception]:
        with self.database.read() as session:
            items = analyses.asking(session, [(one.item_id, one.kind) for one in every.values()], model.id)
        answers: dict[int, dict[str, Any] | Exception] = {}
        known: dict[int, tuple[Asking, Question]] = {}
        for (place, one), item in zip(every.items(), items, strict=True):
            if isinstance(item, MudarError):
                answers[place] = item
            else:
                asked, lam = one.asked, one.asked.weight(model)
                known[place] = item, Question(item.kind, item.segments, asked.k, lam, asked.filters, asked.offset)
        if known:
            found = search_many(self.database, self.indexes.of(model), [question for _, question in known.values()])
            for (place, (item, _)), results in zip(known.items(), found, strict=True):
                answers[place] = _told(every[place], item, model, results)
        return answers


def _told(
    one: Wanted, item: Asking, model: ModelInfo, results: list[dict[str, Any]] | MudarError
) -> dict[str, Any] | MudarError:
    if isinstance(results, MudarError):
        return results
    asked = one.asked
    more = asked.offset + asked.k if len(results) == asked.k else None
    head = {"id": one.item_id, "kind": one.kind, "tempo_bpm": item.tempo_bpm}
    head |= {"offset": asked.offset, "next_offset": more}
    if not results:
        head["note"] = f"No {other_kind(one.kind)} passes the filters." if not asked.offset else "There are no more."
    return {"query": {**head, **asked.echo(model)}, "results": results}
