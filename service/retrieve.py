"""What POST /retrieve does: answers at once for an item that is stored, queues a job for a file. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mudar.errors import BadRequest, OutOfRange, WrongKind
from mudar.library import analyses
from mudar.library.search import ANY, Filters, Question, ask, other_kind
from mudar.records import Kind
from service import dispatch, intake
from service.deps import House
from service.shelf import ServedModel
from service.uploads import Form


@dataclass(frozen=True)
class Asked:
    """How to search; `lam` None = the model's own default."""

    k: int
    lam: float | None
    labels: list[str]
    model: str | None
    filters: Filters = ANY  # of stored items only: a file is searched with by k, lambda and label
    offset: int = 0


def by_item(house: House, music_id: str | None, dance_id: str | None, asked: Asked) -> dict[str, Any]:
    """The ranked items for one that is stored. UnknownItem, WrongKind, NotReady, NoIndex, EmptyLibrary, OutOfRange."""
    if (music_id is None) == (dance_id is None):
        raise BadRequest("Give exactly one of music_id, dance_id and a multipart file.")
    for name, (low, high) in (("tempo_bpm", asked.filters.tempo_bpm), ("duration_s", asked.filters.duration_s)):
        if low is not None and high is not None and low > high:
            raise OutOfRange(f"min_{name} is {low:g}, above max_{name}, {high:g}.")
    item_id, kind = (music_id, "music") if music_id is not None else (dance_id, "dance")
    return _answer(house, str(item_id), "music" if kind == "music" else "dance", asked)


def _answer(house: House, item_id: str, kind: Kind, asked: Asked) -> dict[str, Any]:
    model = house.shelf.resolve(asked.model)
    with house.database.read() as session:
        item = analyses.asking(session, item_id, model.id, kind)
    lam = model.lambda_default if asked.lam is None else asked.lam
    question = Question(kind, item.segments, asked.k, lam, asked.labels, asked.filters, asked.offset)
    results = ask(house.database, house.indexes.of(model), question)
    more = asked.offset + asked.k if len(results) == asked.k else None
    head = {"id": item_id, "kind": kind, "tempo_bpm": item.tempo_bpm, "offset": asked.offset, "next_offset": more}
    if not results:
        head["note"] = f"No {other_kind(kind)} passes the filters." if not asked.offset else "There are no more."
    return {"query": {**head, **_echo(asked, lam, model)}, "results": results}


def _echo(asked: Asked, lam: float, model: ServedModel) -> dict[str, Any]:
    return {"k": asked.k, "lambda": lam, "label": asked.labels, "model": model.id}


def by_file(house: House, form: Form, asked: Asked) -> dict[str, Any]:
    """The job that searches with a file, which does not become an item."""
    asked = _merged(form, asked)
    model, upload = house.shelf.resolve(asked.model), form.file("file")
    info = intake.look(house, upload)
    kinds = intake.kinds_of(info, form.one("kind"))
    if len(kinds) != 1:
        raise WrongKind("Search with one thing at a time: kind=dance or kind=music.")
    kept = intake.keep(upload, info)
    lam = model.lambda_default if asked.lam is None else asked.lam
    params = {"kind": kinds[0], "sha256": kept.sha256, **_echo(asked, lam, model)}
    wish = dispatch.Wish("retrieve", params, media_s=info.duration_s, blobs={"query": kept.sha256})
    with house.database.begin() as session:
        job = dispatch.write(house, session, wish)
    return dispatch.send(house, job)


def _merged(form: Form, asked: Asked) -> Asked:
    """Fields of the form count where the address says nothing; checked to the same bounds."""
    try:
        k = int(form.one("k") or asked.k)
        lam = float(text) if (text := form.one("lambda")) is not None else asked.lam
    except ValueError as error:
        raise BadRequest(f"k and lambda are numbers: {error}") from error
    if not 1 <= k <= 100:
        raise OutOfRange(f"k is {k}; it must lie in 1..100.")
    if lam is not None and not 0 <= lam <= 1:
        raise OutOfRange(f"lambda is {lam}; it must lie in 0..1.")
    return replace(
        asked, k=k, lam=lam, labels=asked.labels or form.many("label"), model=asked.model or form.one("model")
    )
