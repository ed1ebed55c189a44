"""Route of POST /embed."""

from __future__ import annotations

from fastapi import APIRouter, Response

from service.container import ContainerDep
from service.embed import service
from service.embed.schemas import AllAccepted
from service.responses import Accepted, accepted
from service.routing import multipart
from service.uploads import FormDep

router = APIRouter(tags=["embed"])

KIND = {"type": "string", "enum": ["dance", "music", "both"], "description": "default: dance if it has a picture"}
MODEL = {"type": "string", "description": "name, name@alias or name@version; default: the served one"}
FIELDS = {
    "kind": KIND,
    "title": {"type": "string"},
    "labels": {"type": "array", "items": {"type": "string"}},
    "metadata": {"type": "string", "description": "a JSON object"},
    "model": MODEL,
}
BODY = multipart({"file": "a dance (video) or a piece of music; may come several times"}, FIELDS)


@router.post("/embed", status_code=202, openapi_extra=BODY)
def post_embed(form: FormDep, response: Response, container: ContainerDep) -> Accepted | AllAccepted:
    """Put a dance or a piece of music into the library; the same bytes again are the same item, and no new work.

    One file is answered with its job; several with `jobs`, one entry a file: its job, or the problem with it.
    """
    if len(form.every("file")) > 1:
        return service.embed_all(container, form)
    return accepted(response, service.embed(container, form))
