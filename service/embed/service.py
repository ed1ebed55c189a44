"""Embeds files that arrived: creates item and job in one transaction for each file. Knows no HTTP."""

from __future__ import annotations

from mudar.errors import MudarError, StorageFull
from mudar.library.jobs import JobSpec
from service.container import Container
from service.embed import ingest
from service.embed.schemas import AllAccepted, FileAccepted
from service.errors import problem
from service.jobs import submit
from service.responses import Accepted
from service.uploads import Form, Upload


def embed(container: Container, form: Form) -> Accepted:
    """The job that embeds the form's file; the one that did or does it already if the same bytes came before."""
    return _embed(container, form, form.file("file"))


def embed_all(container: Container, form: Form) -> AllAccepted:
    """For each of the form's files its job, or the problem with it; one that cannot be used stops no other."""
    ingest.upload_metadata(form)  # what is wrong with the form is wrong for all
    container.catalog.resolve(form.one("model"))
    return AllAccepted(jobs=[_embed_or_refuse(container, form, upload) for upload in form.every("file")])


def _embed_or_refuse(container: Container, form: Form, upload: Upload) -> FileAccepted:
    try:
        job = _embed(container, form, upload)
    except StorageFull:
        raise
    except MudarError as error:
        return FileAccepted(filename=upload.filename, job_id=None, state=None, items=[], error=problem(error))
    return FileAccepted(filename=upload.filename, **job.model_dump(), error=None)


def _embed(container: Container, form: Form, upload: Upload) -> Accepted:
    metadata = ingest.upload_metadata(form)
    model = container.catalog.resolve(form.one("model"))
    info = ingest.probe_upload(container, upload)
    kinds = ingest.kinds_of(info, form.one("kind"))
    stored = ingest.store_upload(upload, info)
    with container.database.begin() as session:
        ids = ingest.create_items(session, stored, kinds, metadata)
        params = {"model": model.id, "filename": upload.filename}
        spec = JobSpec("embed", params, ids, key=f"embed:{model.id}:{'+'.join(ids)}")
        job = submit.create_job(container, session, spec, info.duration_s * len(ids))
    accepted = submit.enqueue(container, job)
    return accepted.model_copy(update={"notes": [] if form.one("kind") else list(info.notes)})
