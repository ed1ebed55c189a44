"""GET /models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.container import ContainerDep
from service.schemas import Models

router = APIRouter(tags=["models"])


@router.get("/models", response_model=Models)
def get_models(container: ContainerDep) -> dict[str, Any]:
    """The checkpoints that this service can use, with what their cards say."""
    return {"models": container.shelf.listed()}
