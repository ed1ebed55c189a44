"""PUT /items/{id}/rhythm: strokes and beats as a person hears and sees them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from mudar.library import edits
from service.deps import HouseDep

router = APIRouter(tags=["items"])


class RhythmEdit(BaseModel):
    """What to put in place of what the model found; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    times_s: list[float] | None = Field(None, max_length=100_000, description="strokes or onsets, ascending seconds")
    strengths: list[float] | None = Field(None, max_length=100_000, description="0..1 for each of times_s")
    beats_s: list[float] | None = Field(None, max_length=100_000)
    downbeats_s: list[float] | None = Field(None, max_length=100_000)


@router.put("/items/{item_id}/rhythm")
def put_rhythm(item_id: str, edit: RhythmEdit, house: HouseDep, model: str | None = None) -> dict[str, Any]:
    """Correct an item's strokes, beats or downbeats; the next retargeting uses them, nothing is embedded again."""
    chosen = house.shelf.resolve(model).id
    changes = {name: values for name, values in edit.model_dump().items() if values is not None}
    with house.database.begin() as session:
        return edits.edit_rhythm(session, item_id, changes, chosen)
