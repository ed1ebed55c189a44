"""What POST /embed does with files that arrived: item and job, in one transaction a file. Knows no HTTP."""

from __future__ import annotations

from typing import Any

from mudar.errors import MudarError, StorageFull
from service.container import Container
from service.embed import ingest
from service.errors import problem
from service.jobs import submit
from service.uploads import Form, Upload


def embed(container: Container, form: Form) -> dict[str, Any]:
    """The job that embeds the form's file; the one that did or does it already if the same bytes came before."""
    return _embed(container, form, form.file("file"))


def embed_all(container: Container, form: Form) -> list[dict[str, Any]]:
    """For each of the form's files its job, or the problem with it; one that cannot be used stops no other."""
    ingest.upload_metadata(form)  # what is wrong with the form is wrong for all
    container.shelf.resolve(form.one("model"))
    return [_one_of_many(container, form, upload) for upload in form.every("file")]


def _one_of_many(container: Container, form: Form, upload: Upload) -> dict[str, Any]:
    try:
        job = _embed(container, form, upload)
    except StorageFull:
        raise
    except MudarError as error:
        return {"filename": upload.filename, "job_id": None, "state": None, "items": [], "error": problem(error)}
    taken = {"job_id": job["id"], "state": job["state"], "items": job["item_ids"]}
    return {"filename": upload.filename, **taken, "error": None}


def _embed(container: Container, form: Form, upload: Upload) -> dict[str, Any]:
    said = ingest.upload_metadata(form)
    model = container.shelf.resolve(form.one("model"))
    info = ingest.probe_upload(container, upload)
    kinds = ingest.kinds_of(info, form.one("kind"))
    kept = ingest.store_upload(upload, info)
    with container.database.begin() as session:
        ids = [item["id"] for item in ingest.write_items(session, kept, kinds, said)]
        job = submit.create_job(
            container,
            session,
            submit.JobSpec(
                kind="embed",
                params={"model": model.id},
                media_s=info.duration_s * len(ids),
                item_ids=ids,
                key=f"embed:{model.id}:{'+'.join(ids)}",
            ),
        )
    return submit.enqueue(container, job)
