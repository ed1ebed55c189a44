"""Defines what may be asked about a dance's music."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service.retarget.schemas import RetargetOptions


class SoundtrackRequest(RetargetOptions):
    """Says which dance wants music, from how many of the songs that fit best, and how it is warped."""

    dance_id: str
    k: int = Field(5, ge=1, le=50)
    lam: float | None = Field(None, alias="lambda", ge=0, le=1, allow_inf_nan=False)


class SyncOptions(BaseModel):
    """Says whether the file is to be corrected too."""

    model_config = ConfigDict(extra="forbid")

    fix: bool = False


class SyncRequest(SyncOptions):
    """Says which clip's picture is compared with its sound."""

    item_id: str | None = None
