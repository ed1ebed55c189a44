"""Items: what the library holds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from mudar.errors import BadRequest
from mudar.library import analyses, items
from mudar.library.annotations import is_edited
from mudar.library.serialization import rhythm_of, rhythm_record, segment_record
from service.container import ContainerDep
from service.embed.ingest import media_type
from service.schemas import Item, Items, Kind

router = APIRouter(tags=["items"])
INCLUDABLE = {"embedding", "rhythm"}


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "media_url": f"/items/{item['id']}/media"}


@router.get("/items", response_model=Items)
def list_items(
    container: ContainerDep,
    kind: Kind | None = None,
    label: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    sha256: Annotated[list[str] | None, Query(max_length=200, description="Only items of these files.")] = None,
    model: str | None = None,
) -> dict[str, Any]:
    """The newest items first; with several labels, those that carry all of them."""
    chosen = container.shelf.resolve(model).id if model else None
    narrow: dict[str, Any] = {"kind": kind, "labels": label or (), "sha256": sha256 or (), "model": chosen}
    with container.database.read() as session:
        page = items.list_items(session, cursor=cursor, limit=limit, **narrow)
    return {"items": [_shown(item) for item in page.items], "next_cursor": page.next_cursor}


@router.get("/items/{item_id}", response_model=Item)
def get_item(item_id: str, container: ContainerDep, include: str = "", model: str | None = None) -> dict[str, Any]:
    """One item; `include=embedding,rhythm` adds its segments' vectors, its strokes and its rhythm curve."""
    wanted = {word.strip() for word in include.split(",") if word.strip()}
    if wanted - INCLUDABLE:
        raise BadRequest(f"include={include}: use embedding, rhythm or both.")
    chosen = container.shelf.resolve(model).id if model else None
    with container.database.read() as session:
        item = _shown(items.get_item(session, item_id, chosen))
        if "rhythm" in wanted:
            stored = analyses.stored_rhythm(session, item_id, chosen)
            item["rhythm"] = rhythm_record(rhythm_of(stored)) | {"edited": is_edited(stored)}
        if "embedding" in wanted:
            item["embedding"] = [segment_record(s) for s in analyses.segments(session, item_id, chosen)]
    return item


@router.head("/items/{item_id}/media", include_in_schema=False)
@router.get("/items/{item_id}/media", response_class=FileResponse)
def get_media(item_id: str, container: ContainerDep) -> FileResponse:
    """The file as it was sent; answers Range."""
    with container.database.read() as session:
        item = items.get_item(session, item_id)
    headers = {"cache-control": "private, max-age=86400", "x-content-type-options": "nosniff"}
    return FileResponse(container.blobs.path(item["sha256"]), media_type=media_type(item["info"]), headers=headers)


@router.delete("/items/{item_id}", status_code=204, response_class=Response)
def delete_item(item_id: str, container: ContainerDep) -> None:
    """Forget an item; jobs that work on it stop with `item_deleted`."""
    with container.database.begin() as session:
        items.delete_item(session, item_id)
