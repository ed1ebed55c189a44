"""Searches with a stored item at once, and with a file by a job. Knows no HTTP."""

from __future__ import annotations

from anyio import to_thread

from mudar.errors import BadRequest, OutOfRange, WrongKind
from mudar.library.jobs import JobSpec
from service.container import Container
from service.embed import ingest
from service.jobs import submit
from service.responses import Accepted
from service.retrieve.schemas import RetrieveRequest, SearchOptions, SearchResults
from service.uploads import Form

FIELDS = ("k", "lambda", "label", "model")


async def retrieve(container: Container, request: RetrieveRequest) -> SearchResults:
    """What fits a stored item. BadRequest, OutOfRange, and the errors of `Search.one`.

    Filters are looked up one request at a time, beside the batches: one may take longer than many without.
    """
    _check(request)
    if not request.is_filtered:
        return await container.batcher.submit(request)
    return await to_thread.run_sync(container.search.one, request, limiter=container.search_threads)


def retrieve_by_file(container: Container, form: Form, options: SearchOptions) -> Accepted:
    """Submits the job that searches with a file, which does not become an item.

    Fields of the form count where `options` has none.
    """
    fields = form.parse(SearchOptions, *FIELDS)
    options = fields.model_copy(update={name: getattr(options, name) for name in options.model_fields_set})
    model, upload = container.catalog.resolve(options.model), form.file("file")
    info = ingest.probe_upload(container, upload)
    kinds = ingest.kinds_of(info, form.one("kind"))
    if len(kinds) != 1:
        raise WrongKind("Search with one thing at a time: kind=dance or kind=music.")
    stored = ingest.store_upload(upload, info)
    lam = model.lambda_default if options.lam is None else options.lam
    params = {
        "kind": kinds[0],
        "sha256": stored.sha256,
        "filename": upload.filename,
        "k": options.k,
        "lambda": lam,
        "label": options.label,
    }
    spec = JobSpec("retrieve", {**params, "model": model.id}, blobs={"query": stored.sha256})
    with container.database.begin() as session:
        job = submit.create_job(container, session, spec, info.duration_s)
    return submit.enqueue(container, job)


def _check(request: RetrieveRequest) -> None:
    if (request.music_id is None) == (request.dance_id is None):
        raise BadRequest("Give exactly one of music_id, dance_id and a multipart file.")
    for name in ("tempo_bpm", "duration_s"):
        low, high = getattr(request, f"min_{name}"), getattr(request, f"max_{name}")
        if low is not None and high is not None and low > high:
            raise OutOfRange(f"min_{name} is {low:g}, above max_{name}, {high:g}.")
