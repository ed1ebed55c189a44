"""What POST /retrieve is asked: reads the question, and queues a job for a file. Knows no HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mudar.errors import BadRequest, OutOfRange, WrongKind
from service.container import Container
from service.embed import ingest
from service.jobs import submit
from service.retrieve.search import Asked, Wanted
from service.uploads import Form


def wanted(music_id: str | None, dance_id: str | None, asked: Asked) -> Wanted:
    """What is asked for in the words of the address. BadRequest, OutOfRange."""
    if (music_id is None) == (dance_id is None):
        raise BadRequest("Give exactly one of music_id, dance_id and a multipart file.")
    for name, (low, high) in (("tempo_bpm", asked.filters.tempo_bpm), ("duration_s", asked.filters.duration_s)):
        if low is not None and high is not None and low > high:
            raise OutOfRange(f"min_{name} is {low:g}, above max_{name}, {high:g}.")
    return Wanted(music_id, "music", asked) if music_id is not None else Wanted(str(dance_id), "dance", asked)


def by_file(container: Container, form: Form, asked: Asked) -> dict[str, Any]:
    """The job that searches with a file, which does not become an item."""
    asked = _merged(form, asked)
    model, upload = container.shelf.resolve(asked.model), form.file("file")
    info = ingest.probe_upload(container, upload)
    kinds = ingest.kinds_of(info, form.one("kind"))
    if len(kinds) != 1:
        raise WrongKind("Search with one thing at a time: kind=dance or kind=music.")
    kept = ingest.store_upload(upload, info)
    params = {"kind": kinds[0], "sha256": kept.sha256, **asked.echo(model)}
    wish = submit.JobSpec("retrieve", params, media_s=info.duration_s, blobs={"query": kept.sha256})
    with container.database.begin() as session:
        job = submit.create_job(container, session, wish)
    return submit.enqueue(container, job)


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
    filters = replace(asked.filters, labels=asked.filters.labels or form.many("label"))
    return replace(asked, k=k, lam=lam, filters=filters, model=asked.model or form.one("model"))
