"""/items/{id}/rhythm: strokes and beats as a person hears and sees them, or once more as the model found them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from mudar.library import annotations as edits
from service.container import ContainerDep

router = APIRouter(tags=["items"])


class RhythmEdit(BaseModel):
    """What to put in place of what the model found; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    times_s: list[float] | None = Field(None, max_length=100_000, description="strokes or onsets, ascending seconds")
    strengths: list[float] | None = Field(None, max_length=100_000, description="0..1 for each of times_s")
    beats_s: list[float] | None = Field(None, max_length=100_000)
    downbeats_s: list[float] | None = Field(None, max_length=100_000)
    even: bool = Field(False, description="times_s and beats_s were tapped: steady them against each other")


@router.put("/items/{item_id}/rhythm")
def put_rhythm(item_id: str, edit: RhythmEdit, container: ContainerDep, model: str | None = None) -> dict[str, Any]:
    """Correct an item's strokes, beats or downbeats; the next retargeting uses them, nothing is embedded again."""
    chosen = container.shelf.resolve(model).id
    changes = edit.model_dump(exclude={"even"}, exclude_none=True)
    with container.database.begin() as session:
        return edits.rhythm_payload(edits.edit_rhythm(session, item_id, changes, chosen, edit.even))


@router.delete("/items/{item_id}/rhythm")
def delete_rhythm(item_id: str, container: ContainerDep, model: str | None = None) -> dict[str, Any]:
    """Undo all corrections: the answer is the rhythm as the model found it."""
    chosen = container.shelf.resolve(model).id
    with container.database.begin() as session:
        return edits.rhythm_payload(edits.restore_rhythm(session, item_id, chosen))
