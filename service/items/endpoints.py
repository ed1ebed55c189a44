"""Routes of items and of their rhythms."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from mudar.library.items import MAX_LABELS, ItemQuery
from mudar.records import Kind
from service.container import ContainerDep
from service.items import service
from service.items.schemas import Item, Items, Rhythm, RhythmEdit

router = APIRouter(tags=["items"])
HEADERS = {"cache-control": "private, max-age=86400", "x-content-type-options": "nosniff"}


@router.get("/items", response_model_exclude_unset=True)
def list_items(
    container: ContainerDep,
    kind: Kind | None = None,
    label: Annotated[list[str] | None, Query(max_length=MAX_LABELS)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    sha256: Annotated[list[str] | None, Query(max_length=200, description="Only items of these files.")] = None,
    model: str | None = None,
) -> Items:
    """The newest items first; with several labels, those that carry all of them."""
    return service.list_items(container, ItemQuery(kind, label or (), sha256 or (), model, cursor, limit))


@router.get("/items/{item_id}", response_model_exclude_unset=True)
def get_item(item_id: str, container: ContainerDep, include: str = "", model: str | None = None) -> Item:
    """One item; `include=embedding,rhythm` adds its segments' vectors, its strokes and its rhythm curve."""
    return service.get_item(container, item_id, {word.strip() for word in include.split(",")} - {""}, model)


@router.head("/items/{item_id}/media", include_in_schema=False)
@router.get("/items/{item_id}/media", response_class=FileResponse)
def get_media(item_id: str, container: ContainerDep) -> FileResponse:
    """The file as it was sent; answers Range."""
    media = service.get_media(container, item_id)
    return FileResponse(media.path, media_type=media.media_type, headers=HEADERS)


@router.delete("/items/{item_id}", status_code=204, response_class=Response)
def delete_item(item_id: str, container: ContainerDep) -> None:
    """Forget an item; jobs that work on it stop with `item_deleted`."""
    service.delete_item(container, item_id)


@router.put("/items/{item_id}/rhythm", response_model_exclude_unset=True)
def put_rhythm(item_id: str, edit: RhythmEdit, container: ContainerDep, model: str | None = None) -> Rhythm:
    """Correct an item's strokes, beats or downbeats; the next retargeting uses them, nothing is embedded again."""
    return service.edit_rhythm(container, item_id, edit, model)


@router.delete("/items/{item_id}/rhythm", response_model_exclude_unset=True)
def delete_rhythm(item_id: str, container: ContainerDep, model: str | None = None) -> Rhythm:
    """Undo all corrections: the answer is the rhythm as the model found it."""
    return service.restore_rhythm(container, item_id, model)
